//! The runtime's path, which every expansion starts from.

use proc_macro2::{Span, TokenStream, TokenTree};
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
    /// The path, as if it stood at `place`.
    pub(crate) fn at(&self, place: Span) -> TokenStream {
        let relocated = |mut token: TokenTree| {
            token.set_span(token.span().located_at(place));
            token
        };
        self.to_token_stream().into_iter().map(relocated).collect()
    }

    /// Reads `crate = "…"`.
    pub(crate) fn read(args: &mut Args, errors: &mut Errors) -> Self {
        let Some(text) = args.take("crate").and_then(|arg| arg.parse::<LitStr>(errors)) else {
            return Self::Default;
        };
        match text.parse_with(Path::parse_mod_style) {
            Ok(path) => Self::Renamed(absolute(path)),
            Err(_) => {
                let message =
                    format!("`{}` is not the path of a crate; write it as in `crate = \"events\"`", text.value());
                errors.at(&text, message);
                Self::Default
            }
        }
    }
}

/// A path that means the same in every module.
fn absolute(mut path: Path) -> Path {
    const NOT_A_CRATE: [&str; 3] = ["crate", "self", "super"];
    let first = path.segments.first().map(|segment| segment.ident.to_string());
    if !first.is_some_and(|first| NOT_A_CRATE.contains(&first.as_str())) {
        path.leading_colon.get_or_insert_default();
    }
    path
}

impl ToTokens for Runtime {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Default => tokens.extend(quote_spanned!(Span::mixed_site()=> ::tracked_events)),
            Self::Renamed(path) => path.to_tokens(tokens),
        }
    }
}
