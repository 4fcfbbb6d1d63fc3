//! Which database a URL names.

use crate::{
    connection::Backend,
    error::{Error, ErrorKind, Result},
};

/// The database that `url` names.
///
/// # Errors
/// When no database of this build has such URLs.
pub(crate) fn backend_of(url: &str) -> Result<Backend> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Backend::Sqlite),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Backend::Postgres),
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(config("this build cannot use SQLite; build it with the feature `sqlite`".into())),
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => {
            Err(config("this build cannot use PostgreSQL; build it with the feature `postgres`".into()))
        }
        _ => Err(config(format!("unknown database `{scheme}`; use `sqlite:path` or `postgres://user@host/database`"))),
    }
}

/// The path in an SQLite URL, `sqlite:path` or `sqlite://path`.
#[cfg(feature = "sqlite")]
pub(crate) fn sqlite_path(url: &str) -> &str {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    path.strip_prefix("//").unwrap_or(path)
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_names_no_database_is_refused_with_those_that_do() {
        let error = backend_of("oracle://db").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`sqlite:path`"), "{error}");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn the_path_of_an_sqlite_url_is_relative_or_absolute() {
        assert_eq!(["sqlite:a.db", "sqlite:///tmp/a.db"].map(sqlite_path), ["a.db", "/tmp/a.db"]);
    }
}
