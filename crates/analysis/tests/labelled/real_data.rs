//! The methods compared on real items and documents, which lie in `../shared` beside the repository.

use std::path::Path;

use crate::{compared, set};

/// GSM8K's test, BBH and documents of both languages.
#[test]
#[ignore = "real data"]
fn real_items_are_found_in_real_documents() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    assert!(data.is_dir(), "{} is not here", data.display());
    compared("real items in real documents", &set::real(&data, 1));
}
