//! Every promise, every store.

use roadstead_storage::conformance;

conformance!(in_memory, crate::stores::in_memory);
conformance!(local, crate::stores::local);
conformance!(known_uploads, crate::stores::known_uploads);
conformance!(whole_stack, crate::stores::whole_stack);
conformance!(stack_without_memory, crate::stores::stack_without_memory);
conformance!(starved_stack, crate::stores::starved_stack);
