//! Which servers are trusted.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::error::{Error, ErrorKind, Result};

/// Trusts servers whose certificates an authority of `file` has signed, or one of the system's where none is named.
///
/// # Errors
/// When the file cannot be read, or there is no authority.
pub(super) fn checked(file: Option<&str>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for authority in in_file(file)? {
                roots.add(authority).map_err(|error| unusable(file, error))?;
            }
            if roots.is_empty() {
                return Err(unusable(file, "there is no certificate in PEM format in it"));
            }
        }
        None => add_the_systems(&mut roots)?,
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions =
        versions.map_err(|error| Error::new(ErrorKind::Config, "no version of TLS can be used").caused_by(error))?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    // Servers that begin with TLS ask for it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn add_the_systems(roots: &mut RootCertStore) -> Result<()> {
    let mut found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(());
    }
    let problem = "the system has no certificate authority to check PostgreSQL's certificate by; name a file with \
                   `sslrootcert=FILE`";
    let error = Error::new(ErrorKind::Config, problem);
    Err(if found.errors.is_empty() { error } else { error.caused_by(found.errors.swap_remove(0)) })
}

fn in_file(file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let authorities = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    authorities.map_err(|error| unusable(file, error))
}

fn unusable(file: &str, error: impl Into<crate::BoxError>) -> Error {
    Error::new(ErrorKind::Config, format!("`sslrootcert={file}` cannot be used")).caused_by(error)
}
