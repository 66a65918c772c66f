//! A body that belongs to the answer: the request has ended when it has.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{BoxStream, Stream};
use roadstead_proto::clock::Clock;

use super::client::{Patience, transport_fault};
use super::error::{Answer, Fault};
use super::exchange::ExchangeError;
use super::standing::Ticket;

type Body = BoxStream<'static, Result<Bytes, ExchangeError>>;

/// Tells the breaker how a body ended: headers that come and a body that stands still are no answer.
pub(super) struct Awaited {
    body: Body,
    ticket: Option<Ticket>,
    patience: Patience,
    clock: Arc<dyn Clock>,
}

impl Awaited {
    pub(super) fn new(body: Body, ticket: Ticket, patience: Patience, clock: Arc<dyn Clock>) -> Self {
        Self { body, ticket: Some(ticket), patience, clock }
    }

    fn ended(&mut self, how: Result<(), Fault>) {
        if let Some(ticket) = self.ticket.take() {
            ticket.ended(&how.map(Answer::Here), self.clock.now());
        }
    }
}

impl Stream for Awaited {
    type Item = Result<Bytes, ExchangeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.body.as_mut().poll_next(context);
        match &next {
            Poll::Ready(None) => self.ended(Ok(())),
            Poll::Ready(Some(Err(error))) => self.ended(Err(transport_fault(error.clone()))),
            _ => {}
        }
        next
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        // Whoever stops reading in time has reasons of their own.
        if self.patience.left().is_zero() {
            self.ended(Err(self.patience.over()));
        }
    }
}
