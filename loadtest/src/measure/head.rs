//! The head of an answer: its status and the length of its body, and nothing else.

/// What the generator wants to know of an answer before it drains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Bytes of the body.
    pub(super) length: u64,
    /// Bytes of the head itself.
    pub(super) size: usize,
    /// Whether the server closes the connection after this answer.
    pub(super) closes: bool,
}

/// Why a head cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("the answer is not HTTP/1.1")]
    NotHttp,
    #[error("the answer has no Content-Length, and nothing else is measured")]
    NoLength,
}

impl Head {
    /// The head at the beginning of `bytes`; `None` while its end has not arrived.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let status = lines.next().and_then(status).ok_or(HeadError::NotHttp)?;
        let (mut length, mut closes) = (None, false);
        for line in lines {
            if let Some(value) = value_of(line, b"content-length") {
                length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            } else if let Some(value) = value_of(line, b"connection") {
                closes = value.eq_ignore_ascii_case(b"close");
            }
        }
        let length = length.ok_or(HeadError::NoLength)?;
        Ok(Some(Self { status, length, size: end + 4, closes }))
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let digits = line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (given, rest) = line.split_at_checked(name.len())?;
    let value = given.eq_ignore_ascii_case(name).then_some(rest)?;
    Some(value.strip_prefix(b":")?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_a_status_and_a_length() {
        let text = b"HTTP/1.1 206 Partial Content\r\nServer: x\r\ncontent-LENGTH:  12\r\n\r\nhello";
        let head = Head { status: 206, length: 12, size: text.len() - 5, closes: false };
        assert_eq!(Head::parse(text), Ok(Some(head)));
    }

    #[test]
    fn a_head_may_announce_the_end_of_the_connection() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n";
        assert!(matches!(Head::parse(text), Ok(Some(Head { closes: true, .. }))));
    }

    #[test]
    fn half_a_head_is_none() {
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r"), Ok(None));
        assert_eq!(Head::parse(b""), Ok(None));
    }

    #[test]
    fn what_cannot_be_drained_is_an_error() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(Head::parse(chunked), Err(HeadError::NoLength));
        assert_eq!(Head::parse(b"SSH-2.0-OpenSSH\r\n\r\n"), Err(HeadError::NotHttp));
    }
}
