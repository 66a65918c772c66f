//! Their `WWW-Authenticate` (RFC 9110 §11.6.1): several challenges in one header, quoted commas, any case.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use roadstead_proto::domain::limits;

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A token from a token endpoint (distribution token spec).
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// What the token endpoint calls this registry.
        service: Option<String>,
        /// Why a token that was sent is not enough.
        error: Option<String>,
    },
    /// User name and password.
    Basic,
}

/// One scheme with its parameters, names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RawChallenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// The first challenge that we can meet, a token before a password.
pub fn choose(headers: &HeaderMap) -> Option<Challenge> {
    let all: Vec<RawChallenge> =
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).flat_map(parse).collect();
    let bearer = all.iter().find_map(|challenge| {
        let parameter =
            |name: &str| challenge.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let realm = (challenge.scheme == "bearer").then(|| parameter("realm")).flatten();
        let realm = realm.filter(|realm| !realm.is_empty())?;
        Some(Challenge::Bearer { realm, service: parameter("service"), error: parameter("error") })
    });
    bearer.or_else(|| all.iter().any(|challenge| challenge.scheme == "basic").then_some(Challenge::Basic))
}

fn parse(text: &str) -> Vec<RawChallenge> {
    let mut scanner = Scanner { rest: text };
    let mut challenges: Vec<RawChallenge> = Vec::new();
    loop {
        scanner.skip(|c| c == ',' || c.is_ascii_whitespace());
        let Some(word) = scanner.token() else { return challenges };
        let word = word.to_ascii_lowercase();
        scanner.skip(|c| c.is_ascii_whitespace());
        // `word = value` is a parameter of the challenge before it; a word without `=` begins a challenge.
        match (scanner.take('='), challenges.last_mut()) {
            (true, Some(challenge)) => {
                scanner.skip(|c| c.is_ascii_whitespace());
                let Some(value) = scanner.value() else { return challenges };
                // It is remembered by the thousand: a longer one is nobody's.
                if value.len() <= limits::CHALLENGE_PARAMETER_MAX {
                    challenge.parameters.push((word, value));
                }
            }
            (true, None) => return challenges,
            (false, _) => challenges.push(RawChallenge { scheme: word, parameters: Vec::new() }),
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(what);
    }

    fn take(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// RFC 9110 §5.6.2, and `/`, which unquoted values in the wild contain.
    fn token(&mut self) -> Option<&'a str> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Quoted, or up to what ends a parameter: unquoted URLs in the wild have `?` and `=`. Nothing at all is what follows the
    /// `=` at the end of another scheme's token68, which reads like a parameter.
    fn value(&mut self) -> Option<String> {
        if !self.take('"') {
            let end = self.rest.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(value.to_owned());
        }
        let mut value = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn chosen(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        choose(&headers)
    }

    fn bearer(realm: &str, service: &str) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.into(), service: Some(service.into()), error: None })
    }

    #[test]
    fn real_registries() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
        assert_eq!(chosen(&[hub]), bearer("https://auth.docker.io/token", "registry.docker.io"));
        let commas = r#"bearer Realm = "https://q/a,b" , SERVICE="x",scope="repository:a:pull,push""#;
        assert_eq!(chosen(&[commas]), bearer("https://q/a,b", "x"));
        assert_eq!(chosen(&[r#"Basic realm="ECR""#]), Some(Challenge::Basic));
        let both = r#"Basic realm="a, b", Bearer realm="https://t",service="s""#;
        assert_eq!(chosen(&[both]), bearer("https://t", "s"));
        assert_eq!(
            chosen(&[r#"Basic realm="a""#, r#"Bearer realm="https://t",service="s""#]),
            bearer("https://t", "s")
        );
        assert_eq!(chosen(&["Bearer realm=https://t,service=s"]), bearer("https://t", "s"));
        assert_eq!(chosen(&["Bearer realm=https://t?a=b&c=d ,service=s"]), bearer("https://t?a=b&c=d", "s"));
        for other in ["Negotiate YIIB", "Negotiate YIIB=", "NTLM a/b+c=="] {
            assert_eq!(chosen(&[&format!("{other}, Bearer realm=\"https://t\",service=s")]), bearer("https://t", "s"));
        }
    }

    #[test]
    fn says_why_a_token_is_not_enough() {
        let refused = r#"Bearer realm="https://t",error="insufficient_scope""#;
        let expected =
            Challenge::Bearer { realm: "https://t".into(), service: None, error: Some("insufficient_scope".into()) };
        assert_eq!(chosen(&[refused]), Some(expected));
    }

    #[test]
    fn what_cannot_be_met() {
        for value in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer service=\"x\"",
            "=",
            ", ,",
            "Bearer realm=\"open",
            "realm=\"x\"",
            "Bearer realm=,service=s",
        ] {
            assert_eq!(chosen(&[value]), None, "{value}");
        }
    }

    #[test]
    fn what_is_longer_than_any_realm_is_none() {
        let long = format!("Bearer realm=\"https://t/{}\"", "x".repeat(5000));
        assert_eq!(chosen(&[&long]), None);
        assert_eq!(chosen(&[&long, "Basic realm=x"]), Some(Challenge::Basic));
    }

    /// A challenge as a server means it: its scheme, what follows it, and how it writes both.
    type Meant = (String, Vec<(String, String, bool)>, Option<String>);

    fn meant() -> impl Strategy<Value = Meant> {
        let scheme = "(?i-u:bearer|basic)|Negotiate|NTLM|Digest";
        let name = "(?i-u:realm|service|error|scope)|charset|x-[a-z]{1,3}";
        let value = prop_oneof!["https://[a-z]{1,5}\\.example/[a-z?=&]{0,8}", "[a-zA-Z0-9:/._-]{1,9}", "[ -~]{0,12}"];
        let parameters = proptest::collection::vec((name, value, any::<bool>()), 0..5);
        (scheme, parameters, proptest::option::of("[a-zA-Z0-9/+]{1,12}={0,2}"))
    }

    fn written((scheme, parameters, token68): &Meant, space: &str) -> String {
        let parameter = |(name, value, quoted): &(String, String, bool)| {
            let plain = !value.is_empty() && !value.contains([' ', ',', '"', '\\']);
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            if plain && !quoted { format!("{name}={value}") } else { format!("{name}{space}={space}\"{escaped}\"") }
        };
        match (token68, scheme.as_str()) {
            (Some(token), "Negotiate" | "NTLM") => format!("{scheme} {token}"),
            _ => {
                let separator = format!("{space},{space}");
                format!("{scheme} {}", parameters.iter().map(parameter).collect::<Vec<_>>().join(&separator))
            }
        }
    }

    /// The choice among challenges that need not be parsed.
    fn expected(all: &[Meant]) -> Option<Challenge> {
        let bearer = all.iter().filter(|(scheme, ..)| scheme.eq_ignore_ascii_case("bearer")).find_map(|challenge| {
            let first = |wanted: &str| {
                let mut named = challenge.1.iter().filter(|(name, ..)| name.eq_ignore_ascii_case(wanted));
                named.next().map(|(_, value, _)| value.clone())
            };
            let realm = first("realm").filter(|realm| !realm.is_empty())?;
            Some(Challenge::Bearer { realm, service: first("service"), error: first("error") })
        });
        let basic = all.iter().any(|(scheme, ..)| scheme.eq_ignore_ascii_case("basic"));
        bearer.or(basic.then_some(Challenge::Basic))
    }

    proptest! {
        /// However challenges are spaced, quoted and spread over headers, what was meant is what is chosen.
        #[test]
        fn what_is_meant_is_chosen(all in proptest::collection::vec(meant(), 0..4), space in "[ \t]{0,2}", apart: bool) {
            let lines: Vec<String> = all.iter().map(|challenge| written(challenge, &space)).collect();
            let whole = lines.join(" , ");
            let lines: Vec<&str> = if apart { lines.iter().map(String::as_str).collect() } else { vec![&whole] };
            prop_assert_eq!(chosen(&lines), expected(&all), "{:?}", lines);
        }

        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn never_panics_on_likely_text(text in "[BbAa =,\"\\\\rem]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_quoted_realm_survives(realm in "[ -~]{1,40}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer service=\"s\" , realm=\"{quoted}\"");
            prop_assert_eq!(chosen(&[&header]), bearer(&realm, "s"));
        }
    }
}
