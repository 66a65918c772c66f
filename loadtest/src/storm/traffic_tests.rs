use super::*;

const SIZE: u64 = 1_000_000;

fn page(range: Option<&str>, part: Range<u64>, sent: u64) -> Page {
    let end = if sent == part.end - part.start { End::Whole } else { End::CutOff };
    Page {
        kind: Kind::BlobGet,
        repository: Some("a".to_owned()),
        reference: Some("sha256:0".to_owned()),
        range: range.map(str::to_owned),
        met: Vec::new(),
        status: Some(if range.is_some() { 206 } else { 200 }),
        part,
        sent,
        end,
    }
}

fn whole() -> Page {
    page(None, 0..SIZE, SIZE)
}

/// A first answer that is cut off half way by this.
fn cut(effect: Effect) -> Page {
    Page { met: vec![effect], ..page(None, 0..SIZE, SIZE / 2) }
}

fn rest(from: u64) -> Page {
    page(Some(&format!("bytes={from}-")), from..SIZE, SIZE - from)
}

fn rules(pages: &[Page]) -> Vec<Rule> {
    let mut verdict = Verdict::default();
    judge_blob("sha256:0", SIZE, &pages.iter().collect::<Vec<_>>(), false, &mut verdict);
    verdict.violations.into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn one_download_is_one_download() {
    assert_eq!(rules(&[whole()]), []);
    assert_eq!(rules(&[whole(), whole()]), [Rule::BegunAnew, Rule::TooManyBytes]);
    // To ask for the size costs what it costs.
    assert_eq!(rules(&[page(Some(PROBE), 0..1, 1), whole()]), []);
}

#[test]
fn what_breaks_off_is_continued() {
    for effect in [Effect::Truncate { after: SIZE / 2 }, Effect::Reset { after: SIZE / 2 }] {
        assert_eq!(rules(&[cut(effect.clone()), rest(SIZE / 2)]), [], "{effect:?}");
        assert!(rules(&[cut(effect.clone()), whole()]).contains(&Rule::BegunAnew), "{effect:?}");
    }
}

#[test]
fn a_reset_loses_what_was_on_its_way_and_a_close_loses_nothing() {
    assert_eq!(rules(&[cut(Effect::Reset { after: SIZE / 2 }), rest(1000)]), []);
    assert_eq!(rules(&[cut(Effect::Truncate { after: SIZE / 2 }), rest(1000)]), [Rule::TooManyBytes]);
}

#[test]
fn corrupt_bytes_are_sent_again() {
    let corrupt = |at, sent| Page { met: vec![Effect::Corrupt { at }], ..page(None, 0..SIZE, sent) };
    assert_eq!(rules(&[corrupt(5, SIZE), whole()]), []);
    // Only if the flipped byte was sent.
    assert!(!rules(&[corrupt(SIZE - 1, SIZE / 2), whole()]).is_empty());
    assert!(!rules(&[corrupt(5, SIZE), whole(), whole()]).is_empty());
}

#[test]
fn an_ignored_range_sends_again_what_came_before() {
    let ignored =
        Page { met: vec![Effect::IgnoreRange], status: Some(200), ..page(Some("bytes=500000-"), 0..SIZE, SIZE) };
    let first = cut(Effect::Truncate { after: SIZE / 2 });
    assert_eq!(rules(&[first.clone(), ignored.clone()]), []);
    assert_eq!(rules(&[first, ignored.clone(), ignored]), [Rule::TooManyBytes]);
}

#[test]
fn a_download_may_be_given_up_when_its_blob_is_gone() {
    let status = Effect::Status { status: 404, code: None, message: String::new() };
    let gone = Page { met: vec![status], status: Some(404), ..page(Some("bytes=500000-"), 0..0, 0) };
    let first = cut(Effect::Truncate { after: SIZE / 2 });
    assert_eq!(rules(&[first.clone(), gone.clone(), whole()]), []);
    assert_eq!(rules(&[first, Page { status: Some(503), ..gone }, whole()]), [Rule::BegunAnew, Rule::TooManyBytes]);
}

#[test]
fn a_download_may_be_given_up_after_ten_breaks() {
    let mut pages: Vec<Page> = vec![cut(Effect::Truncate { after: SIZE / 2 })];
    let empty = |from: &str| Page { met: vec![Effect::Truncate { after: 0 }], ..page(Some(from), 500_000..SIZE, 0) };
    pages.extend((0..8).map(|_| empty("bytes=500000-")));
    pages.push(whole());
    assert_eq!(rules(&pages[..9]), []);
    let nine = pages.clone().into_iter().map(|page| Page { sent: page.sent.max(1), ..page }).collect::<Vec<_>>();
    assert!(rules(&nine).contains(&Rule::BegunAnew));
}

#[test]
fn a_good_manifest_is_asked_for_once() {
    let manifest = Page { kind: Kind::ManifestGet, ..page(None, 0..100, 100) };
    let count = |pages: &[Page]| {
        let mut verdict = Verdict::default();
        judge_manifest("a", "sha256:0", pages, &mut verdict);
        verdict.violations.len()
    };
    assert_eq!(count(std::slice::from_ref(&manifest)), 0);
    assert_eq!(count(&[manifest.clone(), manifest.clone()]), 1);
    assert_eq!(count(&[Page { met: vec![Effect::Corrupt { at: 1 }], ..manifest.clone() }, manifest]), 0);
}
