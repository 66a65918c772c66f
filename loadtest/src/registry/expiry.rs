//! What stops being worth anything while a body is on its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::plan::Plan;
use super::token::TokenBook;

/// What expires after how many bytes of one body, soonest first.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    due: VecDeque<(u64, Worth)>,
}

#[derive(Debug)]
enum Worth {
    Tokens(Arc<TokenBook>),
    Redirects(Arc<AtomicU64>),
}

impl Expiry {
    /// Of an answer that is no manifest and no blob.
    pub(super) fn never() -> Self {
        Self::default()
    }

    /// Of one that is; what is planned for byte 0 happens at once.
    pub(super) fn planned(plan: &Plan, tokens: &Arc<TokenBook>, signature: &Arc<AtomicU64>) -> Self {
        let tokens = plan.expire_tokens.map(|after| (after, Worth::Tokens(Arc::clone(tokens))));
        let redirects = plan.expire_redirects.map(|after| (after, Worth::Redirects(Arc::clone(signature))));
        let mut due: Vec<_> = tokens.into_iter().chain(redirects).collect();
        due.sort_by_key(|(after, _)| *after);
        let mut expiry = Self { due: due.into() };
        expiry.sent(0);
        expiry
    }

    /// How many bytes may leave before something expires.
    pub(super) fn until_next(&self, sent: u64) -> u64 {
        self.due.front().map_or(u64::MAX, |(after, _)| after.saturating_sub(sent).max(1))
    }

    /// So many bytes are sent by now.
    pub(super) fn sent(&mut self, sent: u64) {
        while self.due.front().is_some_and(|(after, _)| *after <= sent) {
            match self.due.pop_front() {
                Some((_, Worth::Tokens(tokens))) => tokens.revoke_all(),
                Some((_, Worth::Redirects(signature))) => drop(signature.fetch_add(1, Ordering::Relaxed)),
                None => {}
            }
        }
    }
}
