//! What refers to a manifest (distribution spec, "Listing Referrers").

use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue};
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::media::OCI_INDEX;

use super::error::{PullError, What};
use super::respond::list;
use super::{Answered, Puller, name_of};
use crate::policy::Permit;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

impl Puller {
    pub(super) async fn referrers(
        &self,
        permit: &Permit,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Answered, PullError> {
        let found = self.lister.referrers(permit, subject, artifact_type).await.map_err(|error| PullError::Fetch {
            what: What::Referrers,
            name: name_of(permit, &Reference::Digest(*subject)),
            hint: None,
            error,
        })?;
        let mut response: Response = list(found.index, OCI_INDEX, found.status);
        if artifact_type.is_some() {
            response.headers_mut().insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
        }
        if found.partial {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Ok(Answered { response, cache: found.status.label() })
    }
}
