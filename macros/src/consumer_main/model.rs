//! What `consumer_main!` is told.

use syn::{Expr, Path, Type};

use crate::{
    args::{Arg, Args, Known, known},
    diagnostics::Errors,
};

/// Every option of `consumer_main!`.
pub(super) const KNOWN: &[Known] = known![
    Value "setup" "setup = setup",
    Value "command" "command = Cli",
    Value "default" "default = Cli::Demo",
    Value "crate" "crate = \"events\"",
];

/// The program.
pub(super) struct Main {
    pub(super) setup: Option<Path>,
    pub(super) has_command: bool,
    pub(super) command: Option<Type>,
    pub(super) default: Option<Default>,
}

/// The command that runs when none is given.
pub(super) struct Default {
    pub(super) arg: Arg,
    pub(super) value: Expr,
}

impl Main {
    /// Reads every option.
    pub(super) fn read(args: &mut Args, errors: &mut Errors) -> Self {
        let setup = args.take("setup").and_then(|arg| arg.parse(errors));
        let command = args.take("command");
        let default = args.take("default").and_then(|arg| {
            let value = arg.parse(errors)?;
            Some(Default { arg, value })
        });
        let has_command = command.is_some();
        Self { setup, has_command, command: command.and_then(|arg| arg.parse(errors)), default }
    }
}
