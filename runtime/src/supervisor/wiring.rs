//! Checks that the declared listeners, the configuration and the database fit, before an event is taken.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::Config,
    connection::Backend,
    error::ConfigError,
    listen::{Listener, ListenerDeclaration, Location, States},
};

/// The listeners of each consumer group, with configuration applied.
pub(super) type Groups = BTreeMap<String, Vec<Arc<Listener>>>;

/// Applies configuration to the declarations.
///
/// # Errors
/// Every problem at once: names used twice, a connection of another database, missing `State`, impossible options.
pub(super) fn wire(
    declarations: &[&'static ListenerDeclaration],
    config: &Config,
    backend: Backend,
    states: &States,
) -> Result<Groups, ConfigError> {
    let mut problems = ConfigError::default();
    let names = declarations.iter().map(|declaration| declaration.name);
    if let Err(unknown) = config.check_listeners(names) {
        unknown.problems().iter().for_each(|problem| problems.push(problem.clone()));
    }
    let mut groups = Groups::new();
    for declaration in declarations {
        check_backend(declaration, backend, &mut problems);
        check_states(declaration, states, &mut problems);
        let listener = match configured(declaration, config) {
            Ok(listener) => listener,
            Err(wrong) => {
                wrong.problems().iter().for_each(|problem| problems.push(problem.clone()));
                continue;
            }
        };
        let members = groups.entry(listener.group.clone()).or_default();
        if let Some(other) = members.iter().find(|other| other.name == listener.name) {
            problems.push(named_twice(&listener, other));
        }
        members.push(Arc::new(listener));
    }
    problems.into_result().map(|()| groups)
}

fn configured(declaration: &'static ListenerDeclaration, config: &Config) -> Result<Listener, ConfigError> {
    Ok(Listener {
        name: declaration.name.to_owned(),
        group: declaration.group.unwrap_or(&config.service).to_owned(),
        topics: declaration.topics.iter().map(|topic| (*topic).to_owned()).collect(),
        event_type: declaration.event_type.to_owned(),
        options: config.listener_options(declaration)?,
        declaration,
    })
}

fn check_backend(declaration: &ListenerDeclaration, backend: Backend, problems: &mut ConfigError) {
    if let Some(needed) = declaration.handle.backend().filter(|needed| *needed != backend) {
        problems.push(format!(
            "listener `{}` ({}) takes a {} connection, and `database_url` is of {}; take `&mut Tx<'_>` instead, or change the URL",
            declaration.name,
            place(&declaration.location),
            needed.name(),
            backend.name(),
        ));
    }
}

fn check_states(declaration: &ListenerDeclaration, states: &States, problems: &mut ConfigError) {
    for missing in (declaration.requires)().iter().filter(|needed| !states.contains(needed.type_id)) {
        problems.push(format!(
            "listener `{}` ({}) needs `State<{needed}>`, and set-up provides none; call `app.state(…)` with a `{needed}`",
            declaration.name,
            place(&declaration.location),
            needed = missing.type_name,
        ));
    }
}

fn named_twice(listener: &Listener, other: &Listener) -> String {
    format!(
        "two listeners of group `{}` are named `{}`: {} and {}; give one of them another `name = \"…\"`",
        listener.group,
        listener.name,
        place(&other.declaration.location),
        place(&listener.declaration.location),
    )
}

fn place(location: &Location) -> String {
    format!("{}:{}", location.file, location.line)
}
