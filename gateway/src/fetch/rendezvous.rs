//! Who leads a download where nobody grants leases: every gateway that knows the same gateways comes to the same answer.
//!
//! Rendezvous hashing: each gateway draws a number for each download, and the highest leads. One that comes or goes moves
//! only the downloads that it leads. Pure.

use roadstead_proto::domain::lease::{GatewayId, LeaseKey};
use roadstead_proto::state::table::lease_key;
use sha2::{Digest as _, Sha256};

/// The gateways in the order in which they should lead the download of `key`.
pub(super) fn order<'a>(gateways: impl IntoIterator<Item = &'a GatewayId>, key: &LeaseKey) -> Vec<&'a GatewayId> {
    let key = lease_key(key);
    let mut drawn: Vec<_> = gateways.into_iter().map(|gateway| (draw(gateway, &key), gateway)).collect();
    drawn.sort_by(|one, other| other.cmp(one));
    drawn.dedup();
    drawn.into_iter().map(|(_, gateway)| gateway).collect()
}

/// The same in every process and version: a hash of the standard library's would not be.
fn draw(gateway: &GatewayId, key: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(gateway.0.as_bytes());
    // No name contains it, so that no two pairs run together.
    hash.update([0]);
    hash.update(key);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use roadstead_proto::domain::digest::Digest;
    use roadstead_proto::domain::registry::RegionId;
    use roadstead_proto::domain::upstream::{CredentialId, Origin, SourceId};

    use super::*;

    fn key(number: u32) -> LeaseKey {
        let origin = Origin::from_stored("https://registry.example:443".to_owned());
        LeaseKey::Fill {
            region: RegionId::default_region(),
            source: SourceId { origin, credential: CredentialId::default() },
            digest: Digest::sha256(&number.to_be_bytes()),
        }
    }

    fn gateways(count: u32) -> Vec<GatewayId> {
        (0..count).map(|number| GatewayId(format!("gateway-{number}"))).collect()
    }

    #[test]
    fn everybody_comes_to_the_same_answer() {
        let (there, mut turned) = (gateways(9), gateways(9));
        turned.reverse();
        turned.push(turned[3].clone());
        for number in 0..50 {
            assert_eq!(order(&there, &key(number)), order(&turned, &key(number)));
        }
    }

    #[test]
    fn the_downloads_are_spread_and_one_that_goes_moves_only_its_own() {
        let (all, fewer) = (gateways(4), gateways(3));
        let mut led = [0; 4];
        for number in 0..4000 {
            let before = order(&all, &key(number));
            let first = all.iter().position(|gateway| gateway == before[0]).unwrap();
            led[first] += 1;
            if first < 3 {
                assert_eq!(order(&fewer, &key(number))[0], before[0]);
            } else {
                assert_eq!(order(&fewer, &key(number))[0], before[1]);
            }
        }
        assert!(led.iter().all(|led| (850..1150).contains(led)), "{led:?}");
    }
}
