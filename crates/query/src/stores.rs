//! Object stores, by their URLs.

use std::sync::Arc;
use std::time::Duration;

use datafusion::datasource::listing::ListingTableUrl;
use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::QueryError;

/// How object stores are reached: options such as `AWS_REGION` and `GOOGLE_SERVICE_ACCOUNT`, by the
/// names that `object_store` gives them. There are none by default.
#[derive(Clone, Default)]
pub struct Stores {
    options: Vec<(String, String)>,
}

/// Says which options there are, never what they hold.
impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.options.iter().map(|(name, _)| name)).finish()
    }
}

impl Stores {
    /// Stores that are reached with `options`; those that no store knows are passed over.
    pub fn new(options: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { options: options.into_iter().collect() }
    }

    /// Whether `name` is a URL of a store, and not a path.
    pub fn knows(name: &str) -> bool {
        ["s3://", "gs://", "https://", "http://"].iter().any(|scheme| name.starts_with(scheme))
    }

    /// The store that `url` is in.
    pub(crate) fn connect(&self, url: &ListingTableUrl) -> Result<Arc<dyn ObjectStore>, QueryError> {
        let refuse = |e: object_store::Error| QueryError::Unreachable { url: url.to_string(), what: e.to_string() };
        // A wrong name is told in seconds, not after minutes of trying again.
        let retry = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() };
        let authority = url.object_store();
        let options = self.options.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        match url.scheme() {
            "s3" => {
                let mut store = AmazonS3Builder::new();
                for (name, value) in options {
                    if let Ok(key) = name.parse() {
                        store = store.with_config(key, value);
                    }
                }
                Ok(Arc::new(store.with_url(authority.as_str()).with_retry(retry).build().map_err(refuse)?))
            }
            "gs" => {
                let mut store = GoogleCloudStorageBuilder::new();
                for (name, value) in options {
                    if let Ok(key) = name.parse() {
                        store = store.with_config(key, value);
                    }
                }
                Ok(Arc::new(store.with_url(authority.as_str()).with_retry(retry).build().map_err(refuse)?))
            }
            _ => {
                let plain = ClientOptions::new().with_allow_http(true);
                let store = HttpBuilder::new().with_url(authority.as_str()).with_client_options(plain);
                Ok(Arc::new(store.with_retry(retry).build().map_err(refuse)?))
            }
        }
    }
}
