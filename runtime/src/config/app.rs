//! `[app]`: the service's own settings, in the service's own types.

use ::config::{Map, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::{Config, section::nearest};
use crate::error::ConfigError;

impl Config {
    /// The section `[app.SECTION]` as a type of the service. A section that is not there is read as an empty one,
    /// so that a type whose fields all have defaults needs no section.
    ///
    /// Values from the environment are text; numbers, `true` and `false` are read from it where the type wants them.
    ///
    /// # Errors
    /// What in the section does not fit the type, and where it was written.
    pub fn app_section<T: DeserializeOwned>(&self, section: &str) -> Result<T, ConfigError> {
        let written = self.app.get(section);
        let value = written.map_or_else(
            || Value::new(None, Map::<String, Value>::new()),
            |value| self.located(&format!("app.{section}"), value),
        );
        value.try_deserialize().map_err(|error| {
            let mut problem = format!("`[app.{section}]` does not fit: {error}");
            if written.is_none() {
                problem.push_str(&self.missing_section(section));
            }
            ConfigError::from(problem)
        })
    }

    fn missing_section(&self, section: &str) -> String {
        match nearest(section, self.app.keys().map(String::as_str)) {
            Some(meant) => format!("; there is no such section, but there is `[app.{meant}]`"),
            None => format!("; there is no such section, add `[app.{section}]` to `tracked.toml`"),
        }
    }

    /// A value with the place it was written at, for the errors of whoever reads it.
    fn located(&self, path: &str, value: &toml::Value) -> Value {
        let kind = match value {
            toml::Value::String(text) => ValueKind::String(text.clone()),
            toml::Value::Integer(number) => ValueKind::I64(*number),
            toml::Value::Float(number) => ValueKind::Float(*number),
            toml::Value::Boolean(yes) => ValueKind::Boolean(*yes),
            toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
            toml::Value::Array(items) => ValueKind::Array(items.iter().map(|item| self.located(path, item)).collect()),
            toml::Value::Table(table) => {
                let entry = |(key, value): (&String, &toml::Value)| {
                    (key.clone(), self.located(&format!("{path}.{key}"), value))
                };
                ValueKind::Table(table.iter().map(entry).collect())
            }
        };
        Value::new(self.origins.get(path), kind)
    }

    /// Keeps `[app]`, and where each of its values was written.
    pub(super) fn keep_app(&mut self, table: Map<String, Value>) {
        self.app =
            table.into_iter().map(|(key, value)| (key.clone(), self.keep(&format!("app.{key}"), value))).collect();
    }

    fn keep(&mut self, path: &str, value: Value) -> toml::Value {
        if let Some(origin) = value.origin() {
            self.origins.insert(path.to_owned(), origin.to_owned());
        }
        match value.kind {
            ValueKind::Boolean(yes) => toml::Value::Boolean(yes),
            ValueKind::I64(number) => toml::Value::Integer(number),
            ValueKind::Float(number) => toml::Value::Float(number),
            ValueKind::Array(items) => {
                toml::Value::Array(items.into_iter().map(|item| self.keep(path, item)).collect())
            }
            ValueKind::Table(table) => {
                let entry = |(key, value): (String, Value)| (key.clone(), self.keep(&format!("{path}.{key}"), value));
                toml::Value::Table(table.into_iter().map(entry).collect())
            }
            other => toml::Value::String(other.to_string()),
        }
    }
}
