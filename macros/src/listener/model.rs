//! The function of a listener: what it takes, and how it is called.

use syn::{
    FnArg, Lifetime, PatType, Type, TypeReference,
    visit_mut::{self, VisitMut},
};

use super::{options::Options, validate};
use crate::{diagnostics::Errors, function::Function};

/// A handler.
pub(super) struct Handler {
    pub(super) event: Type,
    /// The parameters after the event.
    pub(super) parameters: Vec<Parameter>,
    pub(super) returns: Type,
    pub(super) run: Run,
}

/// How a handler runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    Async,
    Blocking,
}

/// A parameter beside the event.
pub(super) enum Parameter {
    /// `&EventContext`
    Context,
    /// `&mut` a connection.
    Connection(Type),
    /// Anything by value.
    Extracted(Type),
}

impl Handler {
    /// Reads the signature; `None` when it has no event or no result.
    pub(super) fn read(function: &Function, options: &Options, errors: &mut Errors) -> Option<Self> {
        validate::function(function, options, errors);
        let mut inputs = function.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
        let event = inputs.next().and_then(|input| event(input, errors));
        let parameters: Vec<_> = inputs.filter_map(|input| parameter(input, errors)).collect();
        let run = if function.sig.asyncness.is_some() { Run::Async } else { Run::Blocking };
        let returns = function.output().and_then(|ty| nameable(ty, errors));
        let handler = Self { event: event?, parameters, returns: returns?, run };
        validate::one_connection(&handler, errors);
        Some(handler)
    }

    /// The connection, if the handler is transactional.
    pub(super) fn connection(&self) -> Option<&Type> {
        self.parameters.iter().find_map(|parameter| match parameter {
            Parameter::Connection(ty) => Some(ty),
            Parameter::Context | Parameter::Extracted(_) => None,
        })
    }
}

fn event(input: &PatType, errors: &mut Errors) -> Option<Type> {
    match bare(&input.ty) {
        Type::Reference(reference) => {
            errors.at(&input.ty, taken_by_reference(reference));
            None
        }
        ty => nameable(ty, errors),
    }
}

fn taken_by_reference(reference: &TypeReference) -> &'static str {
    if reference.mutability.is_some() || ends_in(&reference.elem, "EventContext") {
        "the first parameter is the event, by value; put it before the others"
    } else {
        "a listener owns its event; take it by value, without `&`"
    }
}

fn parameter(input: &PatType, errors: &mut Errors) -> Option<Parameter> {
    let Type::Reference(reference) = bare(&input.ty) else {
        return nameable(&input.ty, errors).map(Parameter::Extracted);
    };
    let elem = &*reference.elem;
    match (reference.mutability, ends_in(elem, "EventContext")) {
        (Some(_), false) => nameable(elem, errors).map(Parameter::Connection),
        (None, true) => Some(Parameter::Context),
        (Some(_), true) => {
            errors.at(&input.ty, "the context is only read; write `&EventContext`");
            None
        }
        (None, false) => {
            errors.at(
                &input.ty,
                "only `&EventContext` and one `&mut` connection are taken by reference; take this by value, in \
                 `State<T>` if set-up provides it",
            );
            None
        }
    }
}

/// The type as the expansion can name it: without the function's own lifetimes.
fn nameable(ty: &Type, errors: &mut Errors) -> Option<Type> {
    struct Elide {
        opaque: bool,
    }

    impl VisitMut for Elide {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                *lifetime = Lifetime::new("'_", lifetime.span());
            }
        }

        fn visit_type_mut(&mut self, ty: &mut Type) {
            self.opaque |= matches!(ty, Type::ImplTrait(_));
            visit_mut::visit_type_mut(self, ty);
        }
    }

    let (mut elide, mut named) = (Elide { opaque: false }, ty.clone());
    elide.visit_type_mut(&mut named);
    if elide.opaque {
        errors.at(ty, "a listener's types need names; replace `impl Trait` by a type");
    }
    (!elide.opaque).then_some(named)
}

/// A type without the parentheses and invisible groups around it.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        other => other,
    }
}

fn ends_in(ty: &Type, name: &str) -> bool {
    matches!(bare(ty), Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}
