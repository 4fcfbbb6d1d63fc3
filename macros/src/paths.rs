//! The runtime's path, which every expansion starts from.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{LitStr, Path};

use crate::{args::Args, diagnostics::Errors};

/// `::tracked_events`, or what `crate = "…"` says.
pub(crate) enum Runtime {
    /// The crate under its own name.
    Default,
    /// The crate as the user calls it.
    Renamed(Path),
}

impl Runtime {
    /// Reads `crate = "…"`.
    pub(crate) fn read(args: &mut Args, errors: &mut Errors) -> Self {
        let Some(text) = args.take("crate").and_then(|arg| arg.parse::<LitStr>(errors)) else {
            return Self::Default;
        };
        match text.parse_with(Path::parse_mod_style) {
            Ok(path) => Self::Renamed(path),
            Err(_) => {
                let message =
                    format!("`{}` is not the path of a crate; write it as in `crate = \"events\"`", text.value());
                errors.at(&text, message);
                Self::Default
            }
        }
    }
}

impl ToTokens for Runtime {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Default => tokens.extend(quote_spanned!(Span::mixed_site()=> ::tracked_events)),
            Self::Renamed(path) => path.to_tokens(tokens),
        }
    }
}
