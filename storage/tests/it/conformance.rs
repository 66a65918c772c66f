//! Every promise, every store.

use roadstead_storage::conformance;

conformance!(in_memory, crate::stores::in_memory);
conformance!(local, crate::stores::local);
conformance!(known_uploads, crate::stores::known_uploads);
conformance!(whole_stack, crate::stores::whole_stack);
conformance!(stack_without_memory, crate::stores::stack_without_memory);
conformance!(starved_stack, crate::stores::starved_stack);
conformance!(s3, crate::buckets::s3, if crate::buckets::has_s3);
conformance!(s3_stack, crate::buckets::s3_stack, if crate::buckets::has_s3);
conformance!(azure, crate::buckets::azure, if crate::buckets::has_azure);
