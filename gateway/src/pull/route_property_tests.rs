//! Every pull has one spelling: what is understood is spelled again and must be what came.

use proptest::option;
use proptest::prelude::*;

use super::*;

/// Words that stand in paths with a meaning of their own, and therefore in names too.
const WORDS: [&str; 12] = [
    "manifests",
    "blobs",
    "uploads",
    "tags",
    "list",
    "referrers",
    "v2",
    "virtual_registries",
    "container",
    "1",
    "a-b",
    "x",
];

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..6).prop_map(|words| words.join("/"))
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<(bool, Vec<u8>)>().prop_map(|(long, seed)| {
        let algorithm = roadstead_proto::domain::digest::Algorithm::Sha512;
        if long { Digest::of(algorithm, &seed) } else { Digest::sha256(&seed) }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let tag =
        prop_oneof!["[a-zA-Z0-9_][a-zA-Z0-9._-]{0,9}", prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned)];
    let reference = prop_oneof![
        tag.prop_map(|tag| Reference::Tag(tag.parse().expect("a tag"))),
        digest().prop_map(Reference::Digest)
    ];
    let page = (option::of(any::<usize>()), option::of("\\PC{1,9}"));
    let artifact_type = option::of("[ -~]{1,12}");
    prop_oneof![
        reference.prop_map(Operation::Manifest),
        digest().prop_map(Operation::Blob),
        page.prop_map(|(limit, after)| Operation::Tags(Page { limit, after })),
        (digest(), artifact_type).prop_map(|(subject, artifact_type)| Operation::Referrers { subject, artifact_type }),
    ]
}

/// The one path of a request.
fn path_of(request: &PullRequest) -> String {
    let PullRequest::Pull(pull) = request else { return "/v2/".to_owned() };
    let registry = pull.registry.map(|id| format!("{PREFIX}{id}/")).unwrap_or_default();
    let rest = match &pull.operation {
        Operation::Manifest(reference) => format!("manifests/{reference}"),
        Operation::Blob(digest) => format!("blobs/{digest}"),
        Operation::Tags(_) => "tags/list".to_owned(),
        Operation::Referrers { subject, .. } => format!("referrers/{subject}"),
    };
    format!("/v2/{registry}{}/{rest}", pull.repository)
}

fn query_of(pull: &Pull) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(namespace) = &pull.namespace {
        query.append_pair("ns", namespace.as_str());
    }
    match &pull.operation {
        Operation::Tags(page) => {
            page.limit.map(|limit| query.append_pair("n", &limit.to_string()).append_pair("n", "7"));
            page.after.as_ref().map(|after| query.append_pair("last", "").append_pair("last", after));
        }
        Operation::Referrers { artifact_type: Some(artifact_type), .. } => {
            query.append_pair("artifactType", artifact_type);
        }
        _ => {}
    }
    query.append_pair("unknown", "x").finish()
}

/// Paths of pulls with something done to them, and paths that only look like it.
fn nearly_a_path() -> impl Strategy<Value = String> {
    let valid = (option::of(1_u64..30), name(), operation()).prop_map(|(registry, name, operation)| {
        let (registry, repository) = (registry.map(RegistryId), name.parse().expect("a name"));
        path_of(&PullRequest::Pull(Pull { registry, namespace: None, repository, operation }))
    });
    let damage = prop::sample::select(vec![
        "/", "//", "/.", "/..", "../", "%2f", "%2F", "%2e%2e", "%00", "\0", "A", "é", ":", "@", "\\", " ", "+", "0",
        "?", "_", "",
    ]);
    let damaged = (valid, damage, any::<prop::sample::Index>(), 0_usize..3).prop_map(|(path, damage, at, cut)| {
        let at = at.index(path.len() + 1);
        format!("{}{damage}{}", &path[..at], &path[(at + cut).min(path.len())..])
    });
    let likely = "/v2/(virtual_registries/container/[0-9]{0,3}/?)?([a-zA-Z0-9./:_%-]{0,6}/(manifests|blobs|tags|uploads|referrers|list)?/?){0,4}";
    prop_oneof![6 => damaged, 2 => likely, 1 => "\\PC{0,80}"]
}

proptest! {
    #[test]
    fn every_pull_is_understood(
        registry in option::of(1_u64..),
        name in name(),
        namespace in option::of("[a-z.]{1,9}(:[0-9]{1,4})?"),
        operation in operation(),
        head: bool,
    ) {
        let whole = format!("{name}/").starts_with(PREFIX);
        // A bare name cannot begin as the path of a registry does.
        prop_assume!(registry.is_some() || !whole);
        let namespace = namespace.map(|text| text.parse().expect("a namespace"));
        let (registry, repository) = (registry.map(RegistryId), name.parse().expect("a name"));
        let pull = Pull { registry, namespace, repository, operation };
        let query = query_of(&pull);
        let request = PullRequest::Pull(pull);
        let method = if head { Method::HEAD } else { Method::GET };
        prop_assert_eq!(parse(&method, &path_of(&request), Some(&query)), Ok(request));
    }

    /// No second spelling leads to a repository: no escape, no dots, no doubled slash, no other case, no foreign letter.
    #[test]
    fn what_is_understood_is_spelled_in_one_way(path in nearly_a_path()) {
        match parse(&Method::GET, &path, None) {
            Ok(request @ PullRequest::Pull(_)) => prop_assert_eq!(path_of(&request), path),
            Ok(PullRequest::Ping) => {
                let below = path.strip_prefix("/v2").expect("a path of the API").trim_end_matches('/');
                let registry = below.strip_prefix("/virtual_registries/container/");
                prop_assert!(below.is_empty() || registry.is_some_and(|id| id.parse::<u64>().is_ok()), "{}", path);
            }
            Err(_) => {}
        }
    }

    /// Whatever else is wrong, a path that is not for pulling is refused as such, and a long one before it is looked at.
    #[test]
    fn refusals_come_in_order(path in nearly_a_path(), method in "GET|PUT|POST|DELETE|PATCH|X", more in 0_usize..2) {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        if method != Method::GET {
            prop_assert_eq!(parse(&method, &path, None), Err(RouteError::Method));
        }
        let room = limits::REQUEST_TARGET_MAX - path.len();
        let query = "x".repeat(room + more);
        prop_assert_eq!(parse(&method, &path, Some(&query)) == Err(RouteError::TooLong), more > 0);
    }

    #[test]
    fn any_query_has_an_answer(query in "((ns|n|last|artifactType|%6e|N)=[a-z0-9%+&=:./-]{0,9}&?){0,4}|\\PC{0,60}") {
        if let Ok(PullRequest::Pull(pull)) = parse(&Method::GET, "/v2/a/tags/list", Some(&query)) {
            let Operation::Tags(page) = &pull.operation else { panic!("{pull:?}") };
            prop_assert!(page.after.as_deref() != Some(""));
            // Of several, the first that says something.
            let mut named = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, value)| key == "n" && !value.is_empty());
            prop_assert_eq!(page.limit, named.next().map(|(_, value)| value.parse().expect("a number")));
        }
    }
}
