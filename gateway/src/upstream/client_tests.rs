//! What is read from an answer's head without asking anybody.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn waits(text: &str, now: u64) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_str(text).ok()?);
    retry_after(&headers, Timestamp(now))
}

fn redirected(from: &str, location: &str) -> Option<Url> {
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_str(location).ok()?);
    redirect_target(&Url::parse(from).expect("a URL"), &headers).ok()
}

#[test]
fn seconds_and_dates_and_nothing_else() {
    for (text, seconds) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Thu, 01 Jan 1970 00:01:40 GMT", Some(90)),
        ("Thu, 01 Jan 1970 00:00:01 GMT", Some(0)),
        ("99999999999999999999999", Some(24 * 3600)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(24 * 3600)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("soon", None),
    ] {
        assert_eq!(waits(text, 10_000), seconds.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn a_redirect_never_carries_a_password_and_never_leaves_tls() {
    let from = "https://registry.example/v2/a/blobs/x";
    for (location, target) in [
        ("https://cdn.example/x?sig=1", Some("https://cdn.example/x?sig=1")),
        ("/else?y", Some("https://registry.example/else?y")),
        ("//cdn.example/x", Some("https://cdn.example/x")),
        ("https://me:hunter2@cdn.example/x", Some("https://cdn.example/x")),
        ("http://cdn.example/x", None),
        ("file:///etc/passwd", None),
        ("data:text/plain,x", None),
        ("https://", None),
    ] {
        assert_eq!(redirected(from, location).as_ref().map(Url::as_str), target, "{location}");
    }
}

proptest! {
    /// A date is the same wait as its distance in seconds, and no wait is longer than a day.
    #[test]
    fn a_date_is_as_far_away_as_it_says(now in 0_u64..4_000_000_000, wait in 0_u64..200_000) {
        let date = std::time::UNIX_EPOCH + Duration::from_secs(now + wait);
        let by_date = waits(&httpdate::fmt_http_date(date), now * 1000);
        prop_assert_eq!(by_date, waits(&wait.to_string(), 0));
        prop_assert_eq!(by_date, Some(Duration::from_secs(wait.min(24 * 3600))));
    }

    #[test]
    fn any_text_is_a_bounded_wait_or_none(text in "[0-9]{0,30}|[ -~]{0,40}|(Mon|Sun), [0-9]{2} Jan [0-9]{4} [0-9:]{8} GMT", now: u64) {
        prop_assert!(waits(&text, now).is_none_or(|wait| wait <= limits::RETRY_AFTER_MAX));
    }

    #[test]
    fn every_target_is_a_web_address_no_less_safe(
        from in "https?://registry\\.example(:5000)?/v2/a/blobs/x",
        location in "((https?|ftp|HTTP|javascript):)?(//)?([a-z]{0,3}(:[a-z]{0,2})?@)?[a-z.]{0,8}(:[0-9]{1,5})?[/?#a-z.:@\\\\]{0,8}|[ -~]{0,20}",
    ) {
        let Some(target) = redirected(&from, &location) else { return Ok(()) };
        prop_assert!(matches!(target.scheme(), "http" | "https"), "{}", target);
        prop_assert!(from.starts_with("http:") || target.scheme() == "https", "{}", target);
        prop_assert!(target.has_host() && target.username().is_empty() && target.password().is_none(), "{}", target);
    }
}
