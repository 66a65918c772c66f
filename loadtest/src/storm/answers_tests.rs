use super::*;
use crate::registry::End;
use crate::storm::observed::Process;

/// What a scenario without faults comes to when one client asks for the largest layer of its first image.
struct Case {
    scenario: Scenario,
    images: Vec<Image>,
    pages: Vec<Page>,
    seen: Seen,
}

fn calm() -> Scenario {
    let scenario = Scenario::from_seed(1);
    Scenario { faults: Vec::new(), events: Vec::new(), ..scenario }
}

impl Case {
    fn of(object: Object, range: Option<(u64, u64)>) -> Self {
        let scenario = calm();
        let images = scenario.build_images();
        let asking = Asking { phase: Phase::Storm, client: 7, image: 0, object, head: false, range };
        let judging = Judging { scenario: &scenario, images: &images, pages: &[] };
        let right = judging.right(&asking);
        let size = right.size;
        let answer = Answer {
            status: if range.is_some() { 206 } else { 200 },
            digest: Some(right.digest.to_owned()),
            length: Some(range.map_or(size, |(first, last)| last + 1 - first)),
            content_range: range.map(|(first, last)| format!("bytes {first}-{last}/{size}")),
            received: range.map_or(size, |(first, last)| last + 1 - first),
            ..Answer::default()
        };
        let seen = Seen { asking, outcome: Outcome::Answer(answer), millis: 1 };
        Self { scenario, images, pages: Vec::new(), seen }
    }

    fn whole() -> Self {
        Self::of(Object::Blob(1), None)
    }

    fn refused(status: u16) -> Self {
        Self::whole().with(|answer| {
            let code = Some("UNAVAILABLE".to_owned());
            *answer = Answer { status, error_code: code, has_retry_after: true, ..Answer::default() };
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Answer)) -> Self {
        if let Outcome::Answer(answer) = &mut self.seen.outcome {
            change(answer);
        }
        self
    }

    /// The upstream was asked for the layer, and this went wrong.
    fn met(mut self, effect: Effect) -> Self {
        let blob = &self.images[0].layers()[0];
        self.pages.push(Page {
            kind: Kind::BlobGet,
            repository: Some(self.scenario.images[0].repository.clone()),
            reference: Some(blob.digest().to_owned()),
            range: None,
            met: vec![effect],
            status: Some(200),
            part: 0..blob.size(),
            sent: blob.size(),
            end: End::Whole,
        });
        self
    }

    fn rules(self) -> Vec<Rule> {
        let Self { scenario, images, pages, seen } = self;
        let observed = Observed { answers: vec![seen], pages, gateway: Process::default(), ..Observed::default() };
        let mut verdict = Verdict::default();
        judge_answers(&scenario, &images, &observed, &mut verdict);
        verdict.violations.into_iter().map(|violation| violation.rule).collect()
    }
}

#[test]
fn what_is_right_is_right() {
    assert_eq!(Case::whole().rules(), []);
    assert_eq!(Case::of(Object::Tag, None).rules(), []);
    assert_eq!(Case::of(Object::Blob(1), Some((5, 10))).rules(), []);
    assert_eq!(Case::whole().met(Effect::Truncate { after: 5 }).rules(), []);
    assert_eq!(Case::refused(502).met(Effect::Disconnect).rules(), []);
}

#[test]
fn a_wrong_byte_is_never_right() {
    assert_eq!(Case::whole().with(|answer| answer.first_wrong = Some(5)).rules(), [Rule::WrongBytes]);
    // Not even in a body that broke off, unless the upstream sent it so.
    let broken = |answer: &mut Answer| {
        answer.end = BodyEnd::Broken("reset".to_owned());
        answer.received -= HELD_BACK;
        answer.first_wrong = Some(5);
    };
    assert_eq!(Case::whole().with(broken).met(Effect::Reset { after: 9 }).rules(), [Rule::WrongBytes]);
    assert_eq!(Case::whole().with(broken).met(Effect::Corrupt { at: 5 }).rules(), []);
    assert_eq!(Case::whole().with(broken).met(Effect::Corrupt { at: 6 }).rules(), [Rule::WrongBytes]);
}

#[test]
fn the_upstreams_wrong_byte_never_ends_cleanly_with_the_blob() {
    let corrupt = |case: Case| case.with(|answer| answer.first_wrong = Some(5)).met(Effect::Corrupt { at: 5 }).rules();
    assert_eq!(corrupt(Case::whole()), [Rule::WrongBytes]);
    // A whole body that stops before the held-back end, and says that it is whole.
    assert_eq!(corrupt(Case::whole().with(|answer| answer.received -= HELD_BACK)), [Rule::WrongBytes]);
    // A part before that end streams as it arrives; it may not reach into it.
    assert_eq!(corrupt(Case::of(Object::Blob(1), Some((0, 10)))), []);
    let size = calm().build_images()[0].layers()[0].size();
    assert_eq!(corrupt(Case::of(Object::Blob(1), Some((0, size - 1)))), [Rule::WrongBytes]);
}

#[test]
fn a_short_body_never_ends_cleanly() {
    assert_eq!(Case::whole().with(|answer| answer.received -= 1).rules(), [Rule::WrongBytes]);
    assert_eq!(
        Case::of(Object::Blob(1), Some((5, 10))).with(|answer| answer.received -= 1).rules(),
        [Rule::WrongBytes]
    );
}

#[test]
fn headers_tell_what_comes() {
    assert_eq!(Case::whole().with(|answer| answer.digest = None).rules(), [Rule::WrongHeaders]);
    assert_eq!(Case::whole().with(|answer| answer.length = Some(1)).rules(), [Rule::WrongHeaders]);
    let part = || Case::of(Object::Blob(1), Some((5, 10)));
    assert_eq!(part().with(|answer| answer.content_range = Some("bytes 5-10/9".into())).rules(), [Rule::WrongHeaders]);
    let ignored = |answer: &mut Answer| {
        *answer = Answer { status: 200, content_range: None, ..std::mem::take(answer) };
        answer.received = calm().build_images()[0].layers()[0].size();
    };
    assert_eq!(part().with(ignored).rules(), [Rule::WrongHeaders]);
}

#[test]
fn nothing_hangs() {
    let mut case = Case::whole();
    case.seen.outcome = Outcome::Hung { after: Some(3) };
    assert_eq!(case.rules(), [Rule::Hung]);
}

#[test]
fn a_refusal_is_clear() {
    let refused = || Case::refused(502).met(Effect::Disconnect);
    assert_eq!(refused().with(|answer| answer.error_code = None).rules(), [Rule::UnclearRefusal]);
    assert_eq!(refused().with(|answer| answer.has_retry_after = false).rules(), [Rule::UnclearRefusal]);
    assert_eq!(refused().with(|answer| answer.status = 500).rules(), [Rule::UnclearRefusal]);
}

#[test]
fn nothing_fails_without_a_fault() {
    let broken = |answer: &mut Answer| answer.end = BodyEnd::Broken("reset".to_owned());
    assert_eq!(Case::whole().with(broken).rules(), [Rule::Unfounded]);
    assert_eq!(Case::whole().with(broken).met(Effect::Chunked).rules(), [Rule::Unfounded]);
    assert_eq!(Case::whole().with(broken).met(Effect::Disconnect).rules(), []);
    assert_eq!(Case::refused(502).rules(), [Rule::Unfounded]);
    // "Not here" is a lie unless the upstream said so.
    assert_eq!(Case::refused(404).met(Effect::Disconnect).rules(), [Rule::Unfounded]);
    let unknown = Effect::Status { status: 404, code: None, message: String::new() };
    assert_eq!(Case::refused(404).met(unknown).rules(), []);
    assert_eq!(Case::refused(429).met(Effect::Disconnect).rules(), [Rule::Unfounded]);
}

#[test]
fn nothing_that_was_pulled_fails_when_the_upstream_is_gone() {
    let mut case = Case::refused(502).met(Effect::Disconnect);
    case.seen.asking.phase = Phase::Gone;
    assert_eq!(case.rules(), [Rule::Unfounded]);
}
