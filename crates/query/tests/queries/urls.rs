//! Tables at URLs, from a server of a few lines that supports ranges.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use retrace_query::{By, Held, Options, QueryError, Session, Stores};
use retrace_tables::Metric;

use crate::{csv, metric};

/// Serves `bytes` at every path that ends with `metrics.parquet`, and stores the requests.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    fn new(bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (log, count) = (Arc::clone(&asked), Arc::clone(&sent));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (bytes, log, count) = (bytes.clone(), Arc::clone(&log), Arc::clone(&count));
                std::thread::spawn(move || serve(stream.unwrap(), &bytes, &log, &count));
            }
        });
        Self { address, asked, sent }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, bytes: &[u8], log: &Mutex<Vec<String>>, count: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    loop {
        let (mut first, mut range, mut signed) = (String::new(), None, false);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            signed |= lower.starts_with("authorization: aws4-hmac-sha256");
            if let Some(of) = lower.trim().strip_prefix("range: bytes=") {
                let (from, to) = of.split_once('-').unwrap();
                range = Some(match from {
                    "" => bytes.len() - to.parse::<usize>().unwrap()..bytes.len(),
                    from => {
                        from.parse().unwrap()..to.parse::<usize>().map_or(bytes.len(), |to| bytes.len().min(to + 1))
                    }
                });
            }
        }
        log.lock().unwrap().push(format!("{}{}", first.trim(), if signed { " signed" } else { "" }));
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let found = path.split('?').next().unwrap_or_default().ends_with("metrics.parquet");
        let (status, body) = match (found, &range) {
            (false, _) => ("404 Not Found", &b""[..]),
            (true, None) => ("200 OK", bytes),
            (true, Some(range)) => ("206 Partial Content", &bytes[range.clone()]),
        };
        let place =
            range.map(|range| format!("Content-Range: bytes {}-{}/{}\r\n", range.start, range.end - 1, bytes.len()));
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{}Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nETag: \"x\"\r\n\r\n",
            body.len(),
            place.unwrap_or_default()
        );
        let body = if method == "HEAD" { &[][..] } else { body };
        count.fetch_add(body.len(), Ordering::Relaxed);
        if out.write_all(&[head.as_bytes(), body].concat()).is_err() {
            return;
        }
    }
}

fn table() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let rows: Vec<Metric> = (0..100_000).map(|step| metric(step, &format!("task {step}"), step as f64)).collect();
    retrace_tables::write(directory.path(), &rows).unwrap();
    let mut bytes = Vec::new();
    std::fs::File::open(directory.path().join("metrics.parquet")).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// How the server is used as a store of buckets: the user's own options may allow connections without TLS.
fn options(server: &Server) -> Options {
    let options = [
        ("AWS_ENDPOINT", format!("http://{}", server.address)),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "very secret".to_owned()),
        ("AWS_REGION", "nowhere-1".to_owned()),
        ("AWS_NO_SUCH_OPTION", "1".to_owned()),
    ];
    let stores = Stores::new(options.map(|(name, value)| (name.to_owned(), value)));
    assert!(!format!("{stores:?}").contains("very secret"));
    Options { stores, ..Options::default() }
}

#[test]
fn a_table_at_a_url_is_read_in_ranges_and_with_the_credentials_given() {
    let bytes = table();
    let server = Server::new(bytes.clone());
    let url = "s3://bucket/dir/metrics.parquet";
    // In the query, and as an input. 0 + 1 + … + 99999, by Gauss.
    let session = Session::open_with(&[], options(&server)).unwrap();
    assert_eq!(csv(&session, &format!("select sum(value) as s from '{url}'")), "s\n4999950000.0\n");
    let sent = server.sent.load(Ordering::Relaxed);
    assert!(sent < bytes.len() / 2, "one column of eleven took {sent} of {} bytes", bytes.len());
    // No manifest covers files elsewhere.
    assert_eq!(session.held(), [Held { file: url.to_owned(), by: By::Nothing }]);
    let session = Session::open_with(&[PathBuf::from(url)], options(&server)).unwrap();
    assert_eq!(csv(&session, "select count(*) as n, max(step) as s from metrics"), "n,s\n100000,99999\n");
    let asked = server.asked();
    assert!(
        asked.iter().all(|line| line.contains("/bucket/dir/metrics.parquet") && line.ends_with("signed")),
        "{asked:?}"
    );
}

#[test]
fn only_the_schemes_that_are_named_are_read() {
    let server = Server::new(table());
    let path = format!("{}/metrics.parquet", server.address);
    for url in [format!("http://{path}"), format!("HTTP://{path}"), format!("ftp://{path}"), format!("file://{path}")] {
        let opened = Session::open(&[PathBuf::from(&url)]).map(|_| ());
        let asked = Session::open(&[]).unwrap().run(&format!("select * from '{url}'")).map(|_| ());
        for error in [opened.unwrap_err(), asked.unwrap_err()] {
            assert!(matches!(&error, QueryError::Scheme { url: of } if *of == url), "{error}");
        }
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn a_url_with_nothing_there_is_told() {
    let server = Server::new(Vec::new());
    let open = |server: &Server, url: &str| Session::open_with(&[PathBuf::from(url)], options(server)).unwrap_err();
    let url = "s3://bucket/nothing.parquet";
    let error = open(&server, url);
    assert!(matches!(&error, QueryError::Unreachable { url: of, .. } if of == url), "{error}");
    let error = Session::open(&[PathBuf::from("https://127.0.0.1:1/metrics.parquet")]).unwrap_err();
    assert!(matches!(&error, QueryError::Unreachable { .. }), "{error}");
    // A faulty server: no data, and bytes that are not a table.
    let url = "s3://bucket/metrics.parquet";
    assert!(open(&server, url).to_string().contains("empty"));
    let server = Server::new(b"<html>not found, but 200</html>".to_vec());
    let error = open(&server, url).to_string();
    assert!(error.contains("not a Parquet table") && error.contains(url), "{error}");
    let error = Session::open(&[PathBuf::from("https://example.org/page.html")]).unwrap_err().to_string();
    assert!(error.contains(".parquet"), "{error}");
}
