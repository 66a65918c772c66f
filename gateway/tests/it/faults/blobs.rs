//! What goes wrong with a blob on the upstream's side.

use roadstead_loadtest::registry::{self, Auth, Effect, Fault, Kind, Redirect, TokenAuth};

use super::lines;
use super::play::{Pull, Sees, case};

const MISSED: u64 = 4_000_000;

/// A fault of the layer.
fn on_get(effect: Effect) -> Fault {
    Fault::new(effect).on(Kind::BlobGet)
}

fn status(status: u16, code: &str) -> Fault {
    Fault::status(status, code).on(Kind::BlobGet)
}

fn redirecting() -> registry::Config {
    registry::Config { redirect: Some(Redirect::default()), ..registry::Config::default() }
}

fn with_tokens() -> registry::Config {
    registry::Config { auth: Auth::Token(TokenAuth::default()), ..registry::Config::default() }
}

fn gets(blobs: u64) -> [(Kind, u64); 1] {
    [(Kind::BlobGet, blobs)]
}

fn redirected(blobs: u64, targets: u64) -> [(Kind, u64); 2] {
    [(Kind::BlobGet, blobs), (Kind::CdnGet, targets)]
}

lines! {
    "Blobs",

    the_connection_is_reset_in_the_middle => case("the connection is reset in the middle of 60 MB, once")
        .layer(60_000_000)
        .by([on_get(Effect::Reset { after: 40_000_000 }).times(1)])
        .asked(gets(2)).sending_at_most(125),
    the_connection_is_reset_ten_times => case("the connection is reset ten times, each time 500 kB further on")
        .by([on_get(Effect::Truncate { after: 500_000 }).times(10)])
        .asked(gets(11)).sending_at_most(105),
    a_body_ends_early => case("the connection is closed in good order before the end, three times")
        .by([on_get(Effect::Truncate { after: 1_000_000 }).times(3)])
        .asked(gets(4)).sending_at_most(100),
    a_body_stands_still => case("the body stands still in the middle")
        .by([on_get(Effect::Hang { after: MISSED }).times(1)]).impatient()
        .asked(gets(2)).sending_at_most(105),
    a_body_never_gets_on => case("every connection is closed at once, before the first byte")
        .by([on_get(Effect::Truncate { after: 0 })])
        .seen(Sees::Cut).asked(gets(11)),
    ranges_are_ignored => case("`Range` is ignored when the rest is asked for")
        .by([on_get(Effect::Truncate { after: MISSED }).times(1), Fault::new(Effect::IgnoreRange)])
        .asked(gets(2)).sending_at_most(150),
    another_range_is_sent => case("another range than the one that was asked for is sent, once")
        .by([on_get(Effect::Truncate { after: MISSED }).times(1), on_get(Effect::WrongRange { by: 10 }).skip(1).times(1)])
        .asked(gets(3)),
    the_blob_is_gone_in_the_middle => case("404 when the rest is asked for")
        .by([on_get(Effect::Truncate { after: MISSED }).times(1), status(404, "BLOB_UNKNOWN").skip(1)])
        .seen(Sees::Cut).asked(gets(2)),
    the_token_expires_in_the_middle => case("the token expires in the middle, and the connection is closed")
        .at(with_tokens())
        .by([on_get(Effect::ExpireTokens { after: 1 }).times(1).skip(1), on_get(Effect::Truncate { after: MISSED }).times(1).skip(1)])
        .asked([(Kind::BlobGet, 4), (Kind::Token, 2)]),
    a_byte_is_wrong_early => case("one byte at the beginning is wrong")
        .by([on_get(Effect::Corrupt { at: 10 })]).seen(Sees::Cut),
    a_byte_is_wrong_at_the_end => case("the last byte is wrong")
        .by([on_get(Effect::Corrupt { at: 8_999_999 })]).seen(Sees::Cut),
    a_body_has_no_end => case("the body goes on past its end and never stops")
        .by([on_get(Effect::Endless)]).pulling(Pull::LayerOfManifest).seen(Sees::Cut),
    a_body_is_shorter_than_the_manifest_says => case("the announced size is smaller than the manifest's")
        .by([on_get(Effect::WrongLength { by: -1000 })]).pulling(Pull::LayerOfManifest)
        .seen(Sees::Cut).asked(gets(1)),
    a_page_in_place_of_the_blob => case("200 and an HTML page in place of the blob")
        .by([on_get(Effect::Garbage)]).pulling(Pull::LayerOfManifest).seen(Sees::CutOrBadGateway),
    only_the_end_of_the_end_is_missing => case("no `Content-Length`, and the connection is closed after the last byte, before the end of the chunks")
        .by([on_get(Effect::Chunked), on_get(Effect::Truncate { after: 9_000_000 }).times(1)]).asked(gets(2)),
    the_size_is_not_said => case("no `Content-Length`").by([on_get(Effect::Chunked)]),
    the_connection_is_dropped_before_the_answer => case("the connection is dropped before the answer, once")
        .by([on_get(Effect::Disconnect).times(1)]).asked(gets(2)),
    every_connection_is_dropped => case("every connection is dropped before the answer")
        .by([on_get(Effect::Disconnect)]).seen(Sees::Refused(502, "UNAVAILABLE")).asked(gets(2)),
    no_answer => case("no answer at all")
        .by([on_get(Effect::Hold)]).impatient().seen(Sees::Refused(504, "UNAVAILABLE")),
    no_answer_after_the_manifest => case("no answer at all")
        .by([on_get(Effect::Hold)]).impatient().pulling(Pull::LayerOfManifest).seen(Sees::Cut),
    a_server_error => case("500").by([status(500, "UNKNOWN")]).seen(Sees::Refused(502, "UNAVAILABLE")),
    an_outage_in_the_middle => case("503 twice when the rest is asked for")
        .by([on_get(Effect::Truncate { after: MISSED }).times(1), status(503, "UNAVAILABLE").skip(1).times(2)])
        .asked(gets(4)).sending_at_most(100),
    too_many_requests => case("429").by([status(429, "TOOMANYREQUESTS")]).seen(Sees::Refused(429, "TOOMANYREQUESTS")),
    too_many_requests_in_the_middle => case("429 with `Retry-After: 1` when the rest is asked for, once")
        .by([
            on_get(Effect::Truncate { after: MISSED }).times(1),
            status(429, "TOOMANYREQUESTS").skip(1).times(1),
            Fault::header("retry-after", "1").on(Kind::BlobGet).skip(1).times(1),
        ])
        .asked(gets(3)),
    not_here => case("404").by([status(404, "BLOB_UNKNOWN")]).seen(Sees::Refused(404, "BLOB_UNKNOWN")),
    denied => case("403 with the code `DENIED`").by([status(403, "DENIED")]).seen(Sees::Refused(404, "BLOB_UNKNOWN")),
    a_403_of_somebody_else => case("403 with a text")
        .by([Fault::bare_status(403, "Your Authorization Token has expired").on(Kind::BlobGet)])
        .seen(Sees::Refused(502, "UNAVAILABLE")),
    a_redirect_has_expired => case("the redirect's target says 403: its signature has expired, once")
        .at(redirecting()).by([Fault::bare_status(403, "expired").on(Kind::CdnGet).times(1)]).asked(redirected(2, 2)),
    a_redirect_expires_in_the_middle => case("the signature expires in the middle, and the connection is closed")
        .at(redirecting())
        .by([
            Fault::new(Effect::ExpireRedirects { after: 1 }).on(Kind::CdnGet).times(1),
            Fault::new(Effect::Truncate { after: MISSED }).on(Kind::CdnGet).times(1),
        ])
        .asked(redirected(2, 2)).sending_at_most(100),
    a_redirect_leads_nowhere => case("the redirect's target says 404, always")
        .at(redirecting()).by([Fault::bare_status(404, "gone").on(Kind::CdnGet)])
        .seen(Sees::Refused(502, "UNAVAILABLE")).asked(redirected(2, 2)),
    a_redirect_in_a_circle => case("the redirect leads back to itself")
        .by([Fault::redirect_to("{registry}{target}").on(Kind::BlobGet)])
        .seen(Sees::Refused(502, "UNAVAILABLE")).asked(gets(6)),
    a_redirect_to_no_address => case("the redirect leads to no web address")
        .by([Fault::redirect_to("ftp://127.0.0.1/x").on(Kind::BlobGet)]).seen(Sees::Refused(502, "UNAVAILABLE")),
    a_slow_line => case("15 MB/s, and the answer begins 300 ms late")
        .by([on_get(Effect::Latency { millis: 300 }), Fault::bandwidth(15_000_000).on(Kind::BlobGet)]),
}
