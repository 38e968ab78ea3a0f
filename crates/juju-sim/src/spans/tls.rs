//! TLS for both ends: what the sink presents, and what the sender trusts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::Transport;

/// Where a server's certificate lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to the authority, if any. PEM.
    pub cert_file: PathBuf,
    /// Its private key: PEM, as PKCS#1, PKCS#8 or SEC1.
    pub key_file: PathBuf,
}

/// Files that cannot be used for TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {path}: {reason}", path = path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it. Nothing of its content is repeated.
    pub reason: String,
}

impl TlsError {
    fn new(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// What a listener presents to new connections. It can be read anew while connections live.
#[derive(Debug)]
pub(crate) struct Identity {
    files: TlsFiles,
    transport: Transport,
    current: RwLock<Arc<ServerConfig>>,
}

impl Identity {
    pub(crate) fn load(files: TlsFiles, transport: Transport) -> Result<Self, TlsError> {
        let current = RwLock::new(server(&files, transport)?);
        Ok(Self { files, transport, current })
    }

    /// What the files give now, without putting it into use.
    pub(crate) fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        server(&self.files, self.transport)
    }

    /// Puts it into use for connections from now on.
    pub(crate) fn replace(&self, config: Arc<ServerConfig>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The certificates that a sender trusts, and whatever they signed.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    file: PathBuf,
}

impl Trust {
    /// Reads a PEM file, once: it may be the standard input.
    pub(crate) fn load(file: &Path) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| TlsError::new(file, error))?;
        }
        Ok(Self { roots: Arc::new(roots), file: file.to_owned() })
    }

    /// A client that begins every connection anew: a resumed one would not look at the server's certificate.
    pub(crate) fn client(&self, transport: Transport) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(&self.file, error))?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn(transport);
        Ok(Arc::new(config))
    }
}

fn server(files: &TlsFiles, transport: Transport) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|error| TlsError::new(&files.key_file, error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(&files.cert_file, error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::new(&files.key_file, error))?;
    config.alpn_protocols = alpn(transport);
    Ok(Arc::new(config))
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| TlsError::new(path, error))?;
    if found.is_empty() { Err(TlsError::new(path, "there is no certificate in it")) } else { Ok(found) }
}

/// The names under which TLS negotiates what is spoken inside.
fn alpn(transport: Transport) -> Vec<Vec<u8>> {
    match transport {
        Transport::Http => vec![b"http/1.1".to_vec()],
        Transport::Grpc => vec![b"h2".to_vec()],
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
