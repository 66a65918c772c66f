//! What a store answered, in one line. Cloud stores answer refusals with a page of XML, of which two fields tell
//! everything; the rest belongs into no log.

use std::fmt;

use crate::error::Cause;

/// An error of a cloud store: the request, the status, and the service's own code and message.
#[derive(Debug)]
pub(super) struct Answer {
    text: String,
    code: Option<String>,
}

impl Answer {
    /// `None` for errors that have no such page in them.
    pub(super) fn in_error(error: &object_store::Error) -> Option<Self> {
        let text = error.to_string();
        let page = text.find("<?xml").or_else(|| text.find("<Error>"))?;
        let (request, page) = text.split_at(page);
        let code = field(page, "Code");
        let message = field(page, "Message").and_then(|message| Some(message.lines().next()?.to_owned()));
        let mut text = request.trim_end_matches([' ', ':', '\u{feff}']).to_owned();
        for part in [&code, &message].into_iter().flatten() {
            text.push_str(": ");
            text.push_str(part);
        }
        Some(Self { text, code })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Answer {}

fn field(page: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = page.split_once(&open)?;
    let (text, _) = rest.split_once(&close)?;
    Some(text.trim().to_owned())
}

/// What an operator should do about an error, where the store's code for it is well known.
pub(super) fn advice(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        // A shared error stands in the chain as the pointer to it.
        let error: &(dyn std::error::Error + 'static) = match error.downcast_ref::<Cause>() {
            Some(shared) => &**shared,
            None => error,
        };
        let code = error.downcast_ref::<Answer>().and_then(|answer| answer.code.as_deref());
        if let Some(advice) = code.and_then(of_code).or_else(|| of_text(&error.to_string())) {
            return Some(advice);
        }
        next = error.source();
    }
    None
}

fn of_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" => "there is no such bucket: create it, or correct its name",
        "InvalidAccessKeyId" => "the store does not know this access key id: correct it",
        "SignatureDoesNotMatch" => {
            "the store refuses the signature: the secret key is not that of the access key id, or the region is wrong"
        }
        "AuthenticationFailed" => "the store refuses the signature: the account key is not that of the account",
        "AccessDenied" | "AuthorizationFailure" | "AuthorizationPermissionMismatch" => {
            "these credentials may not do that: give them the permissions that docs/operators/storage.md lists"
        }
        "RequestTimeTooSkewed" => "the clocks of this machine and of the store differ by too much: set them",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => "the bucket is in another region: correct the region",
        _ => return None,
    })
}

fn of_text(text: &str) -> Option<&'static str> {
    if text.contains("incorrectly configured region") {
        of_code("PermanentRedirect")
    } else if text.contains("error trying to connect")
        || text.contains("dns error")
        || text.contains("Connection refused")
    {
        Some("nothing answers there: correct the endpoint, or start the store")
    } else if text.contains("169.254.169.254") {
        Some("there are no credentials: this machine is no instance that has some; name them in the configuration")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> object_store::Error {
        let source = format!("Error performing PUT http://host/b/x - Server returned 403 Forbidden: {body}").into();
        object_store::Error::PermissionDenied { path: "x".to_owned(), source }
    }

    #[test]
    fn a_page_becomes_a_line() {
        let page = "<?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The signature\nis \
                    wrong</Message><StringToSign>AWS4-HMAC-SHA256</StringToSign></Error>";
        let answer = Answer::in_error(&error(page)).unwrap();
        let shown = answer.to_string();
        assert!(shown.ends_with("403 Forbidden: SignatureDoesNotMatch: The signature"), "{shown}");
        assert!(!shown.contains("AWS4") && !shown.contains('\n'), "{shown}");
        assert!(advice(&answer).unwrap().contains("secret key"));
    }

    #[test]
    fn what_has_no_page_stays_as_it_is() {
        assert!(Answer::in_error(&error("go away")).is_none());
        assert_eq!(advice(&error("go away")), None);
    }

    #[test]
    fn advice_is_found_under_other_errors() {
        let refused = std::io::Error::other("tcp connect error: Connection refused (os error 111)");
        let error = object_store::Error::Generic { store: "S3", source: Box::new(refused) };
        assert!(advice(&error).unwrap().contains("endpoint"));
    }
}
