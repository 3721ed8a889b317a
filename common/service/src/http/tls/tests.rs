use std::fs;

use rcgen::generate_simple_self_signed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::rustls::{ProtocolVersion, SupportedProtocolVersion, version};

use super::*;

struct Pair {
    cert: String,
    key: String,
}

fn pair() -> Pair {
    let made = generate_simple_self_signed(["log.example.com".to_owned()]).unwrap();
    Pair {
        cert: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

/// A client of those versions that trusts that certificate alone.
fn client(pem: &str, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
    let provider = provider();
    let verifier = Pinned {
        certificate: Some(chain(pem.as_bytes()).unwrap().remove(0)),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Accepts one connection, and sends back four bytes.
async fn echoes(acceptor: TlsAcceptor) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = acceptor.accept(stream).await?;
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    });
    addr
}

#[tokio::test]
async fn both_versions_are_spoken_with_whoever_knows_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert"), dir.path().join("key"));
    let (first, second) = (pair(), pair());
    fs::write(&cert, &first.cert).unwrap();
    fs::write(&key, &first.key).unwrap();
    let certificate = certificate(cert.clone(), key.clone()).unwrap();
    let acceptor = acceptor(&certificate);
    let says = async |client: TlsConnector| {
        let stream = TcpStream::connect(echoes(acceptor.clone()).await).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = client.connect(name, stream).await?;
        stream.write_all(b"ping").await?;
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"ping");
        io::Result::Ok(stream.get_ref().1.protocol_version().unwrap())
    };
    for (version, expected) in [
        (&version::TLS12, ProtocolVersion::TLSv1_2),
        (&version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        assert_eq!(
            says(client(&first.cert, &[version])).await.unwrap(),
            expected
        );
        assert!(says(client(&second.cert, &[version])).await.is_err());
    }
    fs::write(&cert, &second.cert).unwrap();
    certificate.look(); // the key is still that of the first
    assert_eq!(
        certificate.problem().unwrap().why,
        "the key is that of another certificate"
    );
    says(client(&first.cert, &[&version::TLS13])).await.unwrap();
    fs::write(&key, &second.key).unwrap();
    certificate.look();
    assert_eq!(certificate.problem(), None);
    says(client(&second.cert, &[&version::TLS13]))
        .await
        .unwrap();
    assert!(says(client(&first.cert, &[&version::TLS13])).await.is_err());
}

#[test]
fn nothing_of_a_file_in_the_wrong_place_is_told() {
    let Pair { cert, key } = pair();
    for (cert, key, expected) in [
        (&key, &key, "there is no certificate in PEM in the file"),
        (
            &cert,
            &cert,
            "there is no private key in PEM in the file of the key",
        ),
        (
            &String::new(),
            &key,
            "there is no certificate in PEM in the file",
        ),
    ] {
        let refused = certified(cert.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(refused, expected);
    }
    assert!(KnownNode::new(key.as_bytes()).is_err());
}
