//! What goes wrong with a manifest on the upstream's side.

use roadstead_loadtest::registry::{Effect, Fault, Kind};

use super::lines;
use super::play::{Case, Pull, Sees, case};

/// A tag is pulled.
fn tag(fault: &'static str, by: impl IntoIterator<Item = Fault>) -> Case {
    case(fault).by(by).pulling(Pull::Tag).layer(1000).asked([(Kind::ManifestGet, 1)])
}

fn on_get(effect: Effect) -> Fault {
    Fault::new(effect).on(Kind::ManifestGet)
}

fn status(status: u16, code: &str) -> Fault {
    Fault::status(status, code).on_manifests()
}

const BAD_GATEWAY: Sees = Sees::Refused(502, "UNAVAILABLE");

lines! {
    "Manifests",

    a_manifest_is_wrong => tag("one byte is wrong, and `Docker-Content-Digest` is that of the right one",
        [on_get(Effect::Corrupt { at: 10 })]).seen(BAD_GATEWAY),
    a_manifest_by_digest_is_wrong => tag("one byte is wrong, and there is no `Docker-Content-Digest`",
        [on_get(Effect::Corrupt { at: 10 }), on_get(Effect::OmitDigest)]).pulling(Pull::Digest).seen(BAD_GATEWAY),
    a_manifest_is_cut_short => tag("the body ends before its length", [on_get(Effect::Truncate { after: 10 })])
        .seen(BAD_GATEWAY),
    a_manifest_has_no_end => tag("the body goes on past its end and never stops", [on_get(Effect::Endless)])
        .seen(BAD_GATEWAY),
    a_page_in_place_of_a_manifest => tag("200 and an HTML page in place of the manifest", [on_get(Effect::Garbage)])
        .seen(BAD_GATEWAY),
    the_digest_is_not_said => tag("no `Docker-Content-Digest`", [Fault::new(Effect::OmitDigest)]),
    the_digest_is_of_something_else => tag("`Docker-Content-Digest` is that of something else",
        [Fault::new(Effect::WrongDigest)]).seen(BAD_GATEWAY),
    there_is_no_etag => tag("no `ETag`", [Fault::new(Effect::OmitEtag)]),
    head_is_refused => tag("HEAD is 405", [Fault::refuse_head()]),
    a_manifest_is_not_there => tag("404", [status(404, "MANIFEST_UNKNOWN")])
        .seen(Sees::Refused(404, "MANIFEST_UNKNOWN")),
    a_manifest_is_denied => tag("403 with the code `DENIED`", [status(403, "DENIED")])
        .seen(Sees::Refused(404, "MANIFEST_UNKNOWN")),
    a_manifest_is_unavailable => tag("503 with a text", [Fault::bare_status(503, "later").on_manifests()])
        .seen(BAD_GATEWAY),
    manifests_are_limited => tag("429", [status(429, "TOOMANYREQUESTS")])
        .seen(Sees::Refused(429, "TOOMANYREQUESTS")),
    a_manifest_does_not_come => tag("no answer at all", [Fault::new(Effect::Hold)]).impatient()
        .seen(Sees::Refused(504, "UNAVAILABLE")),
    a_manifest_stands_still => tag("the body stands still", [on_get(Effect::Hang { after: 10 })]).impatient()
        .seen(Sees::Refused(504, "UNAVAILABLE")),
}
