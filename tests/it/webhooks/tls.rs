//! Deliveries that are encrypted.

use super::receiver::{stage_reaching, to};
use crate::harness::PATIENCE;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority, and a receiver on 127.0.0.1 that it vouches for.
fn certificates(folder: &Path) {
    let run = |arguments: &str| {
        let mut command = Command::new("openssl");
        let command = command.current_dir(folder).args(arguments.split(' '));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {said}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"
    ));
    run(&format!(
        "req {key} -keyout key.pem -out receiver.csr -subj /CN=receiver"
    ));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    run(
        "x509 -req -in receiver.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out receiver.pem",
    );
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(folder.join("receiver.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[rstest]
#[case::whom_the_machine_trusts(true)]
#[case::whom_nobody_knows(false)]
#[tokio::test]
async fn a_receiver_is_believed_by_its_certificate(#[case] is_trusted: bool) {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = acceptor(folder.path());
    // Without this, the authorities of the machine, which do not know the receiver, count.
    let authority = folder.path().join("ca.pem");
    let trust = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    let trust = if is_trusted { &trust[..] } else { &[] };
    let stage = stage_reaching(&[port], trust).await;
    let webhook = stage
        .webhook(&to(&format!("https://127.0.0.1:{port}/iaq")))
        .await;
    let received = async {
        let (connection, _) = listener.accept().await.unwrap();
        let Ok(mut connection) = acceptor.accept(connection).await else {
            return None;
        };
        let mut request = String::new();
        while !request.contains("{\"type\":\"test\"}") {
            let mut part = [0; 4096];
            let length = connection.read(&mut part).await.unwrap();
            assert_ne!(length, 0, "{request}");
            request += &String::from_utf8_lossy(&part[..length]);
        }
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        connection.write_all(answer).await.unwrap();
        connection.shutdown().await.unwrap();
        Some(request)
    };
    let both = futures_util::future::join(received, stage.try_out(&webhook));
    let (request, result) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    if is_trusted {
        assert!(request.unwrap().starts_with("POST /iaq HTTP/1.1\r\n"));
        assert_eq!(
            (&result["delivered"], &result["status"]),
            (&json!(true), &json!(204))
        );
    } else {
        assert_eq!(request, None);
        assert_eq!(
            (&result["delivered"], &result["reason"]),
            (&json!(false), &json!("refused"))
        );
    }
}
