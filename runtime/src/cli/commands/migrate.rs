//! `migrate`: the database's tables.

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        exit::Exit,
        output::{counted, write_line},
        service::Service,
    },
    config::redacted_url,
    error::BoxError,
    stores::{
        backend_of,
        migrations::{self, SchemaState},
    },
};

/// Runs the migrations that are missing, under a lock, so that several instances may start at once.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  SERVICE migrate\n  SERVICE migrate --check            # exit code 4 when something is to be done\n  SERVICE migrate --print-sql > up.sql"
)]
pub(crate) struct MigrateArgs {
    /// Change nothing; say where the tables stand
    #[arg(long, conflicts_with = "print_sql")]
    check: bool,
    /// Change nothing; print the SQL for an empty database
    #[arg(long)]
    print_sql: bool,
}

pub(crate) async fn run(args: &MigrateArgs, service: &Service) -> Result<Exit, BoxError> {
    let url = &service.config().database_url;
    if args.print_sql {
        write_line(migrations::print_sql(backend_of(url)?)?.trim_end())?;
        return Ok(Exit::Done);
    }
    if args.check {
        return check(service).await;
    }
    let done = migrations::migrate(url).await?;
    service.output().print(&json!({ "migrated": done }), |_| match done.as_slice() {
        [] => format!("`{}` is up to date", redacted_url(url)),
        names => {
            format!("ran {} on `{}`:\n  {}", counted(names.len(), "migration"), redacted_url(url), names.join("\n  "))
        }
    })?;
    Ok(Exit::Done)
}

async fn check(service: &Service) -> Result<Exit, BoxError> {
    let state = migrations::check(&service.config().database_url).await?;
    let problem = state.require_current();
    service.output().print(&state, |_| match &problem {
        Ok(()) => "up to date".to_owned(),
        Err(problem) => problem.to_string(),
    })?;
    Ok(if state == SchemaState::Current { Exit::Done } else { Exit::Setup })
}
