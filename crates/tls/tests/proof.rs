//! Which connections are accepted, and which are not.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use retrace_sign::Token;
use retrace_tls::{Connection, Reason, Stranger, TlsError, accept, endpoint, reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;

const TOKEN: &str = "0123456789abcdef";

fn token(text: &str) -> Token {
    text.parse().unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A listener; the addresses of connections that proved the token; and the strangers.
fn listening(runtime: &Runtime) -> (SocketAddr, Receiver<Connection>, Receiver<Stranger>) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let ((proven, connections), (tell, told)) = (channel(), channel());
    let _within = runtime.enter();
    let mut accepted = accept(listener, &token(TOKEN), move |stranger| tell.send(stranger).unwrap()).unwrap();
    runtime.spawn(async move {
        while let Some(connection) = accepted.next().await {
            if proven.send(connection.unwrap()).is_err() {
                return;
            }
        }
    });
    (address, connections, told)
}

fn connected(runtime: &Runtime, address: SocketAddr, with: &str) -> Result<(), Reason> {
    let endpoint = endpoint(&address.to_string(), &token(with)).unwrap();
    runtime.block_on(endpoint.connect()).map(|_| ()).map_err(|error| reason(&error))
}

#[test]
fn both_sides_prove_the_token() {
    let runtime = runtime();
    let (address, connections, told) = listening(&runtime);
    connected(&runtime, address, TOKEN).unwrap();
    connections.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(
        connected(&runtime, address, "0123456789abcdee"),
        Err(Reason::NotProven("it has another token")),
        "this side does not take the other"
    );
    assert_eq!(told.recv_timeout(Duration::from_secs(10)).unwrap().connections, 1);
    assert!(connections.try_recv().is_err());
    assert!(matches!(endpoint("not an address", &token(TOKEN)), Err(TlsError::Address)));
}

/// A listener that sends arbitrary data, and records everything that the other side sends before it is convinced.
#[test]
fn a_listener_without_the_token_hears_nothing_of_it() {
    let runtime = runtime();
    for answer in [&b""[..], b"HTTP/2.0 200 OK\r\n\r\n", &[0x15, 3, 3, 0, 2, 2, 40]] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut hello = [0; 5];
            socket.read_exact(&mut hello).unwrap();
            let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
            socket.read_exact(&mut rest).unwrap();
            socket.write_all(answer).unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = socket.read_to_end(&mut rest);
            [&hello[..], &rest].concat()
        });
        assert!(connected(&runtime, address, TOKEN).is_err());
        let heard = heard.join().unwrap();
        assert_eq!(heard[..2], [0x16, 3], "the record of a handshake");
        assert!(!heard.windows(8).any(|window| TOKEN.as_bytes().windows(8).any(|part| part == window)));
    }
}

/// The certificate is that of the token and self-signed, according to another parser of certificates.
#[test]
fn a_token_determines_its_certificate() {
    use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
    use tokio_rustls::rustls::{RootCertStore, crypto::ring, server::WebPkiClientVerifier};
    let of = |text: &str| {
        let credentials = retrace_tls::Credentials::of(&token(text)).unwrap();
        CertificateDer::from(credentials.certificate().to_vec())
    };
    let (ours, again, other) = (of(TOKEN), of(TOKEN), of("0123456789abcdee"));
    assert_eq!(ours, again);
    let mut roots = RootCertStore::empty();
    roots.add(ours.clone()).unwrap();
    let provider = ring::default_provider().into();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
    for seconds in [0, 1_800_000_000, 200_000_000_000] {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier.verify_client_cert(&ours, &[], at).unwrap();
        assert!(verifier.verify_client_cert(&other, &[], at).is_err());
    }
}

/// Idle connections are closed for one another and for those with the token, and time out by themselves.
#[test]
fn a_flood_of_idle_connections_is_kept_small() {
    let runtime = runtime();
    let (address, connections, told) = listening(&runtime);
    let began = Instant::now();
    let mut idle: Vec<TcpStream> = Vec::new();
    for at in 0..200 {
        let mut socket = TcpStream::connect(address).unwrap();
        if at % 2 == 1 {
            socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        }
        if at % 3 == 2 {
            // The beginning of a TLS record that is never completed.
            let _ = socket.write_all(&[0x16, 3, 1, 2, 0, 1]);
        }
        idle.push(socket);
    }
    let open = |idle: &[TcpStream]| {
        let is_open = |mut socket: &TcpStream| {
            socket.set_nonblocking(true).unwrap();
            loop {
                match socket.read(&mut [0; 64]) {
                    Ok(1..) => {}
                    Ok(0) => return false,
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
            }
        };
        idle.iter().filter(|socket| is_open(socket)).count()
    };
    let until = |most: usize, seconds: u64| {
        while open(&idle) > most {
            assert!(began.elapsed() < Duration::from_secs(seconds), "{} are open", open(&idle));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(32, 8);
    connected(&runtime, address, TOKEN).unwrap();
    let connection = connections.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(9), "nobody waited for those that say nothing");
    until(0, 25);
    assert!(told.recv_timeout(Duration::from_secs(1)).is_ok());
    assert!(told.try_recv().is_err(), "strangers are told of once a minute");
    drop(connection);
}

/// The data arrives, and is not visible in the transmitted bytes.
#[test]
fn what_is_sent_is_encrypted() {
    let runtime = runtime();
    let (address, connections, _told) = listening(&runtime);
    // A process between the two that records the traffic.
    let between = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shown = between.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let (near, _) = between.accept().unwrap();
        let far = TcpStream::connect(address).unwrap();
        let (mut near_in, mut far_in) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let copied = std::thread::spawn(move || {
            let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = far_in.read(&mut buffer) {
                all.extend_from_slice(&buffer[..read]);
                if near_in.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            all
        });
        let (mut near, mut far, mut buffer) = (near, far, [0; 4096]);
        while let Ok(read @ 1..) = near.read(&mut buffer) {
            if far.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = far.shutdown(std::net::Shutdown::Both);
        copied.join().unwrap()
    });
    let secret = b"gradients of a corpus that nobody else is to see";
    runtime.block_on(async {
        let connect = endpoint(&shown.to_string(), &token(TOKEN)).unwrap();
        let channel = connect.connect().await.unwrap();
        let mut connection = connections.recv_timeout(Duration::from_secs(10)).unwrap();
        // The client's preface of HTTP/2, decrypted.
        let mut preface = [0; 24];
        connection.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        connection.write_all(secret).await.unwrap();
        connection.flush().await.unwrap();
        drop(channel);
        let _ = connection.shutdown().await;
    });
    let heard = heard.join().unwrap();
    assert!(heard.len() > secret.len());
    assert!(!heard.windows(secret.len()).any(|window| window == secret));
}
