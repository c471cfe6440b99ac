//! The client that reads URLs, and its rules for redirects.
//!
//! The user names a host and trusts it to answer, but not to decide what else this machine requests. So a redirect is
//! followed only to another `https://` URL without a user name or password, at most [`MOST`] times, and only to an
//! address of the public internet: no loopback, no private network, no metadata service, neither by number nor by a
//! name that resolves to one. Credentials and the origin of the request are not sent to the new host. Stores with
//! signed requests follow no redirects.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use object_store::ClientConfigKey;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Proxy, Url};

/// Maximum number of consecutive redirects.
const MOST: usize = 5;

/// Makes clients that follow no redirects, or only those that are safe.
#[derive(Debug, Clone)]
pub(crate) enum Redirects {
    /// None.
    Refused,
    /// Redirects to public addresses. Names in the list may have any address: the host that the user named, and
    /// proxies, which the user also named.
    Public(Vec<String>),
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it redirects, and redirects of a store with credentials are not followed")]
    Any,
    #[error("it redirects more than {MOST} times")]
    TooMany,
    #[error("it redirects to a URL that is not https://")]
    Scheme,
    #[error("it redirects to a URL with a user name or password")]
    Credentials,
    #[error("it redirects to an address of this machine or of a private network")]
    Private,
}

impl Redirects {
    /// Whether a client that was redirected this many times already may continue to `to`.
    fn check(&self, to: &Url, before: usize) -> Result<(), Refused> {
        let Self::Public(_) = self else { return Err(Refused::Any) };
        if before > MOST {
            return Err(Refused::TooMany);
        }
        if to.scheme() != "https" {
            return Err(Refused::Scheme);
        }
        if !to.username().is_empty() || to.password().is_some() {
            return Err(Refused::Credentials);
        }
        let host = to.host_str().unwrap_or_default().trim_end_matches('.');
        let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let private = match number {
            Ok(address) => !is_public(address),
            // Names are checked when they are resolved; behind a proxy these are not.
            Err(_) => host.is_empty() || host == "localhost" || host.ends_with(".localhost"),
        };
        if private { Err(Refused::Private) } else { Ok(()) }
    }

    fn policy(&self) -> Policy {
        let own = self.clone();
        Policy::custom(move |attempt: Attempt<'_>| match own.check(attempt.url(), attempt.previous().len()) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        })
    }
}

impl HttpConnector for Redirects {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |e: reqwest::Error| object_store::Error::Generic { store: "HTTP", source: Box::new(e) };
        let told = |key| options.get_config_value(&key);
        let whether = |key| told(key).is_some_and(|value| value == "true");
        let seconds = |key, usual: u64| {
            let told =
                told(key).and_then(|value| value.trim_end_matches(" seconds").trim_end_matches('s').parse().ok());
            Duration::from_secs(told.unwrap_or(usual))
        };
        let mut client = Client::builder()
            .user_agent(concat!("retrace/", env!("CARGO_PKG_VERSION")))
            .redirect(self.policy())
            .referer(false)
            .https_only(!whether(ClientConfigKey::AllowHttp))
            .danger_accept_invalid_certs(whether(ClientConfigKey::AllowInvalidCertificates))
            .connect_timeout(seconds(ClientConfigKey::ConnectTimeout, 5))
            .timeout(seconds(ClientConfigKey::Timeout, 30));
        if let Some(proxy) = told(ClientConfigKey::ProxyUrl) {
            client = client.proxy(Proxy::all(proxy).map_err(failed)?);
        }
        if let Some(certificate) = told(ClientConfigKey::ProxyCaCertificate) {
            client = client.add_root_certificate(Certificate::from_pem(certificate.as_bytes()).map_err(failed)?);
        }
        if let Self::Public(named) = self {
            client = client.dns_resolver(Arc::new(PublicNames { named: named.clone() }));
        }
        Ok(HttpClient::new(client.build().map_err(failed)?))
    }
}

/// Returns only the public addresses of names that the user did not specify.
#[derive(Debug)]
struct PublicNames {
    named: Vec<String>,
}

impl PublicNames {
    fn addresses(&self, name: &str, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let anywhere = self.named.iter().any(|named| named.eq_ignore_ascii_case(name));
        let good: Vec<SocketAddr> = found.filter(|address| anywhere || is_public(address.ip())).collect();
        if good.is_empty() { Err(io::Error::other(Refused::Private)) } else { Ok(good) }
    }
}

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let own = Self { named: self.named.clone() };
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses = own.addresses(name.as_str(), found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// In none of the blocks that the IANA registry of special-purpose IPv4 addresses marks as not globally reachable, and
/// not multicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => true,
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        [first, ..] => first >= 224,
    };
    !special
}

/// Global unicast (RFC 4291), except addresses that represent another address or none; if an address contains an IPv4
/// address, that one is checked.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // IPv4 mapped; NAT64 (RFC 6052); 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            v4(high, low)
        }
        // Teredo and other protocols, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, ..] => false,
        [first, ..] => first >> 13 == 1,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use object_store::ObjectStoreExt;
    use object_store::http::HttpBuilder;

    use super::*;

    #[test]
    fn redirects_by_hand() {
        let public = Redirects::Public(vec!["intranet".to_owned()]);
        let check = |to: &str, before| public.check(&Url::parse(to).unwrap(), before);
        for good in ["https://cdn.example.org/a?token=b", "https://8.8.8.8/", "https://[2606:4700::1]/x"] {
            assert_eq!(check(good, 1), Ok(()), "{good}");
            assert_eq!(Redirects::Refused.check(&Url::parse(good).unwrap(), 1), Err(Refused::Any));
        }
        for (bad, why) in [
            ("http://example.org/", Refused::Scheme),
            ("file:///etc/passwd", Refused::Scheme),
            ("ftp://example.org/", Refused::Scheme),
            ("https://me@example.org/", Refused::Credentials),
            ("https://:secret@example.org/", Refused::Credentials),
            ("https://127.0.0.1/", Refused::Private),
            // Other notations of it, which browsers accept.
            ("https://0x7f.1/", Refused::Private),
            ("https://2130706433/", Refused::Private),
            ("https://[::1]/", Refused::Private),
            ("https://[::ffff:10.0.0.1]/", Refused::Private),
            ("https://169.254.169.254/latest/meta-data/", Refused::Private),
            ("https://localhost/", Refused::Private),
            ("https://localhost./", Refused::Private),
            ("https://a.LOCALHOST:8443/", Refused::Private),
            ("https://192.168.1.1:8080/", Refused::Private),
        ] {
            assert_eq!(check(bad, 1), Err(why), "{bad}");
        }
        assert_eq!(check("https://example.org/", MOST), Ok(()));
        assert_eq!(check("https://example.org/", MOST + 1), Err(Refused::TooMany));
    }

    #[test]
    fn addresses_by_hand() {
        for public in ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1", "64:ff9b::808:808"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "127.8.8.8",
            "100.64.0.1",
            "169.254.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn names_that_lead_to_private_addresses_are_none() {
        let names = PublicNames { named: vec!["intranet".to_owned()] };
        let found = ["10.0.0.1:0", "1.1.1.1:0"].map(|address| address.parse().unwrap());
        assert_eq!(names.addresses("intranet", found.into_iter()).unwrap().len(), 2);
        assert_eq!(names.addresses("rebound.example", found.into_iter()).unwrap(), found[1..]);
        assert!(names.addresses("rebound.example", found[..1].iter().copied()).is_err());
    }

    /// A server that redirects to another: the other must never be contacted.
    #[test]
    fn a_redirect_to_this_machine_is_not_followed() {
        let (first, second) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (from, to) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        second.set_nonblocking(true).unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = first.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{to}/secret.csv\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let store = HttpBuilder::new()
            .with_url(format!("http://{from}"))
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_http_connector(Redirects::Public(vec![]))
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(store.head(&"table.csv".into())).unwrap_err();
        assert!(crate::stores::told(&error).contains("not https://"), "{}", crate::stores::told(&error));
        served.join().unwrap();
        assert_eq!(second.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
