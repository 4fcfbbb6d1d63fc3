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
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        let problem = "no certificate authority was found to check PostgreSQL's certificate by; name a file with \
                       `sslrootcert=FILE`";
        return Err(Error::new(ErrorKind::Config, problem));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions =
        versions.map_err(|error| Error::new(ErrorKind::Config, "no version of TLS can be used").caused_by(error))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn in_file(file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let authorities = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    authorities.map_err(|error| unusable(file, error))
}

fn unusable(file: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Config, format!("`sslrootcert={file}` holds no certificates that can be used"))
        .caused_by(error)
}
