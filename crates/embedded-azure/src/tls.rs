//! The same over TLS, for clients that speak nothing else: a listener of its own, with a certificate by an authority that is
//! made anew at each start and whose key is kept nowhere.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The file with the certificate of the authority, for clients to trust.
pub(crate) const AUTHORITY: &str = "ca.pem";

/// Whoever does not begin to speak TLS within this time is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates could not be made.
    #[error("no certificate can be made")]
    Certificate(#[from] rcgen::Error),
    /// They do not fit each other.
    #[error("the certificate cannot be used")]
    Configuration(#[from] rustls::Error),
    /// The authority's certificate could not be written.
    #[error("cannot write the certificate of the authority to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes an authority, leaves its certificate in a folder, and makes by it a certificate for this machine and for these
/// hosts. OpenSSL takes no wildcard right below a top-level name (`*.localhost`), so each is named.
pub(crate) fn configure(
    folder: &Path,
    hosts: impl Iterator<Item = String>,
) -> Result<ServerConfig, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "Embedded Azure");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let path = folder.join(AUTHORITY);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, authority.pem()));
    written.map_err(|source| TlsError::Write { path, source })?;

    let names = ["127.0.0.1", "::1", "localhost", "*.localhost"].map(str::to_owned);
    let mut params = CertificateParams::new(names.into_iter().chain(hosts).collect::<Vec<_>>())?;
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate()?;
    let chain = vec![params.signed_by(&key, &authority)?.der().clone()];
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    Ok(config.with_single_cert(chain, key.into())?)
}

/// A listener whose connections have shaken hands, each in a task of its own, so that a slow client keeps nobody waiting.
pub(crate) struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    accepting: JoinHandle<()>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, config: ServerConfig) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (done, ready) = mpsc::channel(1);
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), done));
        Ok(Self { address, ready, accepting })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task that accepts ends with this listener alone.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        // axum's own way with errors: it tries again.
        let (connection, address) = Listener::accept(&mut listener).await;
        let (acceptor, done) = (acceptor.clone(), done.clone());
        tokio::spawn(async move {
            // Who speaks no TLS, or trusts nobody, goes away.
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(connection)).await {
                drop(done.send((stream, address)).await);
            }
        });
    }
}
