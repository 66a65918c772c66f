//! Their `WWW-Authenticate` (RFC 9110 §11.6.1): several challenges in one header, quoted commas, any case.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

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
        let realm = (challenge.scheme == "bearer").then(|| parameter("realm")).flatten()?;
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
                challenge.parameters.push((word, value));
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

    fn value(&mut self) -> Option<String> {
        if !self.take('"') {
            return self.token().map(str::to_owned);
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
        for value in
            ["", "Negotiate", "Bearer", "Bearer service=\"x\"", "=", ", ,", "Bearer realm=\"open", "realm=\"x\""]
        {
            assert_eq!(chosen(&[value]), None, "{value}");
        }
    }

    proptest! {
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
