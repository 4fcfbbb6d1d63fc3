//! Where settings come from: the file, the environment and flags, merged in that order. Every value keeps the name
//! of the place it was written at.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use ::config::{Map, Source, Value, ValueKind};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::error::ConfigError;

/// What every setting's variable in the environment begins with.
pub(super) const PREFIX: &str = "TRACKED_";
/// Stands between the words of a path in the environment: `TRACKED_LISTENER__SEND_MAIL__TIMEOUT`.
const SEPARATOR: &str = "__";
/// Variables that are not settings: where the file is, how logs look, who operates.
const NOT_SETTINGS: [&str; 3] = ["TRACKED_CONFIG", "TRACKED_LOG", "TRACKED_OPERATOR"];
/// Variables of test suites.
const TEST_PREFIX: &str = "TRACKED_TEST_";
/// The file that is read when there is one and nothing else is said.
const DEFAULT_FILE: &str = "tracked.toml";

/// The places settings are read from, the later before the earlier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file; `None` is `TRACKED_CONFIG`, else `tracked.toml` if it is there.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Flags of the command line, as (setting, value).
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The environment of the process, and the file that it names.
    pub(crate) fn of_process() -> Self {
        Self { environment: std::env::vars_os().collect(), ..Self::default() }
    }

    /// Everything that is set, merged.
    pub(super) fn merged(&self, problems: &mut ConfigError) -> Map<String, Value> {
        let layers = [self.file_values(problems), self.environment_values(problems), self.flag_values()];
        let mut builder = ::config::Config::builder();
        for layer in layers {
            builder = builder.add_source(Layer(layer));
        }
        match builder.build().map(|merged| merged.cache.into_table()) {
            Ok(Ok(merged)) => merged,
            Ok(Err(error)) | Err(error) => {
                problems.push(format!("the settings cannot be merged: {error}"));
                Map::new()
            }
        }
    }

    fn file_values(&self, problems: &mut ConfigError) -> Map<String, Value> {
        let named = self.file.clone().or_else(|| self.variable("TRACKED_CONFIG").map(PathBuf::from));
        let path = match named {
            Some(path) => path,
            None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
            None => return Map::new(),
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => from_toml(&path.display().to_string(), &text, problems),
            Err(error) => {
                let path = path.display();
                problems.push(format!("`{path}` cannot be read ({error}); check `--config` or `TRACKED_CONFIG`"));
                Map::new()
            }
        }
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }

    fn environment_values(&self, problems: &mut ConfigError) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, value) in &self.environment {
            let Some(name) = name.to_str() else { continue };
            let Some(path) = name.strip_prefix(PREFIX) else { continue };
            if NOT_SETTINGS.contains(&name) || name.starts_with(TEST_PREFIX) || value.is_empty() {
                continue;
            }
            match value.to_str() {
                Some(value) => {
                    let path: Vec<_> = path.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
                    insert(&mut values, &path, Value::new(Some(&name.to_owned()), value));
                }
                None => problems.push(format!("{name}: the value is not UTF-8")),
            }
        }
        values
    }

    fn flag_values(&self) -> Map<String, Value> {
        let flag = |(key, value): &(&'static str, String)| {
            let origin = format!("--{}", key.replace('_', "-"));
            ((*key).to_owned(), Value::new(Some(&origin), value.as_str()))
        };
        self.flags.iter().map(flag).collect()
    }
}

/// One layer of settings.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Puts `value` at `path`, making the tables on the way.
fn insert(table: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let origin = value.origin().map(str::to_owned);
            let entry =
                table.entry(first.clone()).or_insert_with(|| Value::new(origin.as_ref(), Map::<String, Value>::new()));
            if !matches!(entry.kind, ValueKind::Table(_)) {
                entry.kind = ValueKind::Table(Map::new());
            }
            if let ValueKind::Table(inner) = &mut entry.kind {
                insert(inner, rest, value);
            }
        }
    }
}

/// Reads a file's text; each value's origin is its `file:line`.
fn from_toml(path: &str, text: &str, problems: &mut ConfigError) -> Map<String, Value> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        problems.push(format!("{path}:{line}: {}", error.message()));
    }
    let file = TomlFile { path, text };
    table.get_ref().iter().map(|(key, value)| file.entry(key, value)).collect()
}

struct TomlFile<'a> {
    path: &'a str,
    text: &'a str,
}

impl TomlFile<'_> {
    fn entry(&self, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> (String, Value) {
        (key.get_ref().to_string(), self.value(value, key.span().start))
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, at: usize) -> Value {
        let origin = format!("{}:{}", self.path, line_of(self.text, at));
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(yes) => ValueKind::Boolean(*yes),
            DeValue::Datetime(time) => ValueKind::String(time.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => ValueKind::I64(number),
                Err(_) => ValueKind::String(number.to_string()),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => ValueKind::Float(number),
                Err(_) => ValueKind::String(number.to_string()),
            },
            DeValue::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(item, item.span().start)).collect())
            }
            DeValue::Table(table) => {
                ValueKind::Table(table.iter().map(|(key, value)| self.entry(key, value)).collect())
            }
        };
        Value::new(Some(&origin), kind)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
