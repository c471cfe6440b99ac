//! Object stores, by their URLs.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use datafusion::datasource::listing::ListingTableUrl;
use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{ObjectStore, RetryConfig};

use crate::QueryError;
use crate::redirects::Redirects;

/// The supported URL schemes.
const SCHEMES: [&str; 3] = ["s3", "gs", "https"];

/// The settings of object stores: options such as `AWS_REGION` and `GOOGLE_SERVICE_ACCOUNT`, with the names that
/// `object_store` uses. There are none by default.
#[derive(Clone, Default)]
pub struct Stores {
    options: Vec<(String, String)>,
    proxies: Vec<String>,
}

/// Shows which options there are, never their values.
impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.options.iter().map(|(name, _)| name)).finish()
    }
}

impl Stores {
    /// Stores with `options`; those that no store knows are ignored.
    pub fn new(options: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { options: options.into_iter().collect(), proxies: Vec::new() }
    }

    /// The same, where these URLs are the user's proxies: their names may have addresses in a private network.
    #[must_use]
    pub fn with_proxies(mut self, urls: impl IntoIterator<Item = String>) -> Self {
        let host = |url: String| reqwest::Url::parse(&url).ok()?.host_str().map(str::to_owned);
        self.proxies.extend(urls.into_iter().filter_map(host));
        self
    }

    /// Whether `name` is a URL, and not a path: of a supported store, or one that is refused.
    pub fn knows(name: &str) -> bool {
        scheme(name).is_some()
    }

    /// Checks that `url` has a supported scheme.
    pub(crate) fn check(url: &str) -> Result<(), QueryError> {
        match scheme(url) {
            Some(scheme) if SCHEMES.contains(&scheme.as_str()) => Ok(()),
            _ => Err(QueryError::Scheme { url: url.to_owned() }),
        }
    }

    /// The store of `url`.
    pub(crate) fn connect(&self, url: &ListingTableUrl) -> Result<Arc<dyn ObjectStore>, QueryError> {
        Self::check(url.as_str())?;
        let refuse = |e: object_store::Error| QueryError::Unreachable { url: url.to_string(), what: told(&e) };
        // A wrong name gives an error in seconds, not after minutes of retries.
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
                let store = store.with_url(authority.as_str()).with_http_connector(Redirects::Refused);
                Ok(Arc::new(store.with_retry(retry).build().map_err(refuse)?))
            }
            "gs" => {
                let mut store = GoogleCloudStorageBuilder::new();
                for (name, value) in options {
                    if let Ok(key) = name.parse() {
                        store = store.with_config(key, value);
                    }
                }
                let store = store.with_url(authority.as_str()).with_http_connector(Redirects::Refused);
                Ok(Arc::new(store.with_retry(retry).build().map_err(refuse)?))
            }
            _ => {
                let host = reqwest::Url::parse(authority.as_str()).ok();
                let host = host.and_then(|url| url.host_str().map(str::to_owned));
                let named = host.into_iter().chain(self.proxies.iter().cloned()).collect();
                let store = HttpBuilder::new().with_url(authority.as_str());
                let store = store.with_http_connector(Redirects::Public(named));
                Ok(Arc::new(store.with_retry(retry).build().map_err(refuse)?))
            }
        }
    }
}

/// The text before `://`, in lower case.
fn scheme(name: &str) -> Option<String> {
    let (scheme, _) = name.split_once("://")?;
    let first = scheme.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let good = first && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    good.then(|| scheme.to_ascii_lowercase())
}

/// An error with its root cause.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    let (top, bottom) = (error.to_string(), bottom.to_string());
    if top.contains(&bottom) { top } else { format!("{top}: {bottom}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths_and_only_three_schemes_are_read() {
        for url in ["s3://bucket/a.csv", "gs://bucket/a.csv", "https://example.org/a.csv"] {
            assert!(Stores::knows(url) && Stores::check(url).is_ok(), "{url}");
        }
        for url in ["http://example.org/a.csv", "HTTP://example.org/a.csv", "file:///etc/passwd", "ftp://a/b.csv"] {
            assert!(Stores::knows(url) && Stores::check(url).is_err(), "{url}");
        }
        for path in ["a.csv", "/a/b.csv", "://a.csv", "a b://c.csv", "1://c.csv"] {
            assert!(!Stores::knows(path), "{path}");
        }
    }
}
