//! `Cache-Status` (RFC 9211): how an answer came about.

use std::time::Duration;

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the cache, without asking.
    Hit,
    /// From the cache, past the upstream's own validity, because its rate budget runs out: no question was asked.
    Stretched,
    /// From the cache, after the upstream confirmed it.
    Revalidated,
    /// From the cache: the upstream was asked which manifest it is, and that one is here, under another name.
    KnownDigest,
    /// From the cache, past its validity.
    Stale {
        /// Why it was not refreshed.
        reason: &'static str,
        /// Past its validity by this much.
        by: Duration,
    },
    /// From another region's bucket, by this request: no upstream was asked.
    Copied,
    /// From the upstream, by this request.
    Miss,
    /// From the upstream, by another request for the same that was under way.
    Collapsed,
}

impl CacheStatus {
    /// The value of nearly every answer.
    pub const HIT: &str = "roadstead; hit";

    /// The header's value.
    pub fn render(self) -> String {
        match self {
            Self::Hit => Self::HIT.to_owned(),
            Self::Stretched => "roadstead; hit; detail=rate_budget".to_owned(),
            Self::Copied => "roadstead; hit; detail=region".to_owned(),
            Self::KnownDigest => "roadstead; fwd=uri-miss; fwd-status=200; detail=known_digest".to_owned(),
            Self::Revalidated => "roadstead; fwd=stale; fwd-status=200; detail=revalidated".to_owned(),
            Self::Stale { reason, by } => {
                let sign = if by.as_secs() == 0 { "" } else { "-" };
                format!("roadstead; hit; ttl={sign}{}; detail={reason}", by.as_secs())
            }
            Self::Miss => "roadstead; fwd=uri-miss; fwd-status=200".to_owned(),
            Self::Collapsed => "roadstead; fwd=uri-miss; collapsed".to_owned(),
        }
    }

    /// Of an answer that is put together from two: what cost more.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let rank = |status: Self| match status {
            Self::Hit => 0,
            Self::Stretched => 1,
            Self::Revalidated => 2,
            Self::KnownDigest => 3,
            Self::Copied => 4,
            Self::Collapsed => 5,
            Self::Miss => 6,
            // That a part is old is what matters most to whoever reads the whole.
            Self::Stale { .. } => 7,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// For metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stretched => "stretched",
            Self::Revalidated | Self::KnownDigest => "revalidated",
            Self::Stale { .. } => "stale",
            Self::Copied => "copied",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_rfc_writes_it() {
        assert_eq!(CacheStatus::Hit.render(), "roadstead; hit");
        let stale = CacheStatus::Stale { reason: "timeout", by: Duration::from_secs(90) };
        assert_eq!(stale.render(), "roadstead; hit; ttl=-90; detail=timeout");
        assert_eq!(CacheStatus::Collapsed.render(), "roadstead; fwd=uri-miss; collapsed");
        assert_eq!(CacheStatus::Stretched.render(), "roadstead; hit; detail=rate_budget");
    }
}
