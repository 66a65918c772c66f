//! The fleet: domain ↔ protobuf.

use std::time::Duration;

use super::command::required;
use super::pb::meta::v1 as pb;
use super::record::{credential_from, millis};
use super::{DecodeError, Record};
use crate::domain::fleet::{Fleet, FleetMember, RateReading, Registration, Report, SourceStanding, Wait};
use crate::domain::lease::{GatewayId, SessionId};
use crate::domain::time::Timestamp;
use crate::domain::upstream::{Origin, SourceId};

fn wait(wait: Wait) -> pb::Wait {
    pb::Wait { left_ms: millis(wait.left), status: wait.status.into() }
}

fn wait_from(m: pb::Wait) -> Result<Wait, DecodeError> {
    let status = u16::try_from(m.status).map_err(|_| DecodeError::field("Wait", "status"))?;
    Ok(Wait { left: Duration::from_millis(m.left_ms), status })
}

impl Record for SourceStanding {
    type Message = pb::SourceStanding;

    fn to_message(&self) -> pb::SourceStanding {
        pb::SourceStanding {
            origin: self.source.origin.as_str().to_owned(),
            credential: self.source.credential.0.to_vec(),
            counted: self.counted.clone(),
            rate: self.rate.as_ref().map(|rate| pb::RateReading {
                limit: rate.limit,
                remaining: rate.remaining,
                window_ms: millis(rate.window),
                age_ms: millis(rate.age),
            }),
            blobs: self.blobs.map(wait),
            manifests: self.manifests.map(wait),
        }
    }

    fn from_message(m: pb::SourceStanding) -> Result<Self, DecodeError> {
        let credential = credential_from(&m.credential, "SourceStanding")?;
        Ok(Self {
            source: SourceId { origin: Origin::from_stored(m.origin), credential },
            counted: m.counted,
            rate: m.rate.map(|rate| RateReading {
                limit: rate.limit,
                remaining: rate.remaining,
                window: Duration::from_millis(rate.window_ms),
                age: Duration::from_millis(rate.age_ms),
            }),
            blobs: m.blobs.map(wait_from).transpose()?,
            manifests: m.manifests.map(wait_from).transpose()?,
        })
    }
}

impl Record for Report {
    type Message = pb::Report;

    fn to_message(&self) -> pb::Report {
        pb::Report {
            draining: self.draining,
            fills: self.fills,
            requests: self.requests,
            standings: self.standings.iter().map(Record::to_message).collect(),
        }
    }

    fn from_message(m: pb::Report) -> Result<Self, DecodeError> {
        let standings = m.standings.into_iter().map(SourceStanding::from_message).collect::<Result<_, _>>()?;
        Ok(Self { draining: m.draining, fills: m.fills, requests: m.requests, standings })
    }
}

impl Record for FleetMember {
    type Message = pb::FleetMember;

    fn to_message(&self) -> pb::FleetMember {
        pb::FleetMember {
            session: self.session.0,
            gateway: self.registration.gateway.0.clone(),
            region: self.registration.region.as_str().to_owned(),
            address: self.registration.address.clone(),
            version: self.registration.version.clone(),
            opened_at: self.opened_at.0,
            report: self.report.as_ref().map(Record::to_message),
            heard_ago_ms: millis(self.heard_ago),
        }
    }

    fn from_message(m: pb::FleetMember) -> Result<Self, DecodeError> {
        let region = m.region.parse().map_err(|_| DecodeError::field("FleetMember", "region"))?;
        Ok(Self {
            session: SessionId(m.session),
            registration: Registration {
                gateway: GatewayId(m.gateway),
                region,
                address: m.address,
                version: m.version,
            },
            opened_at: Timestamp(m.opened_at),
            report: m.report.map(Report::from_message).transpose()?,
            heard_ago: Duration::from_millis(m.heard_ago_ms),
        })
    }
}

impl Record for Fleet {
    type Message = pb::Fleet;

    fn to_message(&self) -> pb::Fleet {
        pb::Fleet {
            gateways: self.gateways.iter().map(Record::to_message).collect(),
            standings: self.standings.iter().map(Record::to_message).collect(),
        }
    }

    fn from_message(m: pb::Fleet) -> Result<Self, DecodeError> {
        Ok(Self {
            gateways: m.gateways.into_iter().map(FleetMember::from_message).collect::<Result<_, _>>()?,
            standings: m.standings.into_iter().map(SourceStanding::from_message).collect::<Result<_, _>>()?,
        })
    }
}

/// A sign of life as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlive {
    /// The session.
    pub session: SessionId,
    /// What its gateway says.
    pub report: Report,
}

impl Record for KeepAlive {
    type Message = pb::KeepAliveRequest;

    fn to_message(&self) -> pb::KeepAliveRequest {
        pb::KeepAliveRequest { session: self.session.0, report: Some(self.report.to_message()) }
    }

    fn from_message(m: pb::KeepAliveRequest) -> Result<Self, DecodeError> {
        let report = Report::from_message(required(m.report, "KeepAliveRequest", "report")?)?;
        Ok(Self { session: SessionId(m.session), report })
    }
}
