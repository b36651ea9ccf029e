//! The JSON of a GLB, walked through once and not kept.
//!
//! Every member is looked at wherever it stands: a browser takes the last of two members with one
//! name, so what counts must be true of each.

use super::{GlbFault, HEAD_BYTES};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Deepest nesting of objects and lists; real models have about ten levels.
const DEPTH_MAX: usize = 64;
/// Longest name that is repeated in an answer, in characters.
const NAME_CHARACTERS_SHOWN: usize = 64;

/// Extensions a model may depend on: those that the loader of the pages reads with nothing added.
const EXTENSIONS: [&str; 15] = [
    "KHR_lights_punctual",
    "KHR_materials_anisotropy",
    "KHR_materials_clearcoat",
    "KHR_materials_dispersion",
    "KHR_materials_emissive_strength",
    "KHR_materials_ior",
    "KHR_materials_iridescence",
    "KHR_materials_sheen",
    "KHR_materials_specular",
    "KHR_materials_transmission",
    "KHR_materials_unlit",
    "KHR_materials_volume",
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "KHR_materials_diffuse_roughness",
];

pub(super) fn check(text: &[u8]) -> Result<(), GlbFault> {
    let mut state = State::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    let walked = Walk {
        role: Role::Document,
        state: &mut state,
    }
    .deserialize(&mut json)
    .and_then(|()| json.end());
    if let Some(fault) = state.fault {
        return Err(fault);
    }
    if let Err(error) = walked {
        let offset = HEAD_BYTES + offset_of(text, error.line(), error.column());
        return Err(GlbFault::at_byte(offset as u64, "not_json", "is not JSON"));
    }
    if !state.has_version {
        let pointer = "/asset/version".to_owned();
        return Err(GlbFault::at_member(pointer, "required", "must be given"));
    }
    Ok(())
}

/// Byte of a line and column, both counted from 1.
fn offset_of(text: &[u8], line: usize, column: usize) -> usize {
    let before = text.split(|byte| *byte == b'\n').take(line.max(1) - 1);
    before.map(|line| line.len() + 1).sum::<usize>() + column.max(1) - 1
}

/// What a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Document,
    Asset,
    Version,
    Required,
    Extension,
    /// Where something else is, at any depth.
    Uri,
    /// Data of an application, which nobody here reads (glTF 2.0, "extras").
    Extras,
    Other,
}

impl Role {
    fn of_member(self, name: &str) -> Self {
        match (self, name) {
            (Self::Extras, _) | (_, "extras") => Self::Extras,
            (Self::Document, "asset") => Self::Asset,
            (Self::Asset, "version") => Self::Version,
            (Self::Document, "extensionsRequired") => Self::Required,
            (_, "uri") => Self::Uri,
            _ => Self::Other,
        }
    }

    fn of_item(self) -> Self {
        match self {
            Self::Required => Self::Extension,
            Self::Extras => Self::Extras,
            _ => Self::Other,
        }
    }

    /// What is wrong with a value that is no text, if anything is.
    fn fault(self, kind: Kind) -> Option<(&'static str, &'static str)> {
        match (self, kind) {
            (Self::Document | Self::Asset, Kind::Object)
            | (Self::Required, Kind::List)
            | (Self::Extras | Self::Other, _) => None,
            (Self::Document | Self::Asset, _) => Some(("not_an_object", "must be an object")),
            (Self::Required, _) => Some(("not_a_list", "must be a list of texts")),
            (Self::Version | Self::Extension, _) => Some(("not_text", "must be a text")),
            (Self::Uri, _) => Some(EXTERNAL),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    List,
    Scalar,
}

const EXTERNAL: (&str, &str) = (
    "external_uri",
    "must be left out or a data: URI: a model has everything in itself",
);

#[derive(Debug, Default)]
struct State {
    /// JSON pointer to the value at hand.
    pointer: String,
    depth: usize,
    has_version: bool,
    fault: Option<GlbFault>,
}

impl State {
    fn fault<E: Error>(&mut self, code: &'static str, detail: &'static str) -> E {
        let pointer = std::mem::take(&mut self.pointer);
        self.fault = Some(GlbFault::at_member(pointer, code, detail));
        E::custom(code)
    }

    /// Lets `walk` look at a value of the one at hand.
    fn within<T>(&mut self, name: &str, walk: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.pointer.len();
        self.pointer.push('/');
        for character in name.chars().take(NAME_CHARACTERS_SHOWN) {
            match character {
                '~' => self.pointer.push_str("~0"),
                '/' => self.pointer.push_str("~1"),
                other => self.pointer.push(other),
            }
        }
        let walked = walk(self);
        self.pointer.truncate(outside);
        walked
    }

    fn enter<E: Error>(&mut self, role: Role, kind: Kind) -> Result<(), E> {
        if let Some((code, detail)) = role.fault(kind) {
            return Err(self.fault(code, detail));
        }
        if self.depth == DEPTH_MAX {
            return Err(self.fault("too_deep", "is nested too deeply"));
        }
        self.depth += 1;
        Ok(())
    }
}

/// Looks at one value and at everything in it.
struct Walk<'a> {
    role: Role,
    state: &'a mut State,
}

impl Walk<'_> {
    fn scalar<E: Error>(self) -> Result<(), E> {
        match self.role.fault(Kind::Scalar) {
            Some((code, detail)) => Err(self.state.fault(code, detail)),
            None => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.role {
            Role::Version if is_version_2(text) => self.state.has_version = true,
            Role::Version => return Err(self.state.fault("bad_version", "must be 2.0 or 2.x")),
            Role::Extension if !EXTENSIONS.contains(&text) => {
                let detail = "is an extension that the pages cannot read";
                return Err(self.state.fault("unsupported_extension", detail));
            }
            Role::Uri if !is_data(text) => return Err(self.state.fault(EXTERNAL.0, EXTERNAL.1)),
            Role::Extension | Role::Uri => {}
            _ => return self.scalar(),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { role, state } = self;
        state.enter(role, Kind::List)?;
        let mut index: usize = 0;
        loop {
            let item = state.within(&index.to_string(), |state| {
                items.next_element_seed(Walk {
                    role: role.of_item(),
                    state,
                })
            });
            if item?.is_none() {
                break;
            }
            index += 1;
        }
        state.depth -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { role, state } = self;
        state.enter(role, Kind::Object)?;
        while let Some(name) = members.next_key::<String>()? {
            state.within(&name, |state| {
                members.next_value_seed(Walk {
                    role: role.of_member(&name),
                    state,
                })
            })?;
        }
        state.depth -= 1;
        Ok(())
    }
}

fn is_version_2(text: &str) -> bool {
    let minor = text.strip_prefix("2.");
    minor.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()))
}

/// A `data:` URI as the loader of the pages recognises one; with anything else it would ask a server.
fn is_data(uri: &str) -> bool {
    let scheme = uri.get(..5);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
        && uri.contains(',')
        && uri.bytes().all(|byte| byte.is_ascii_graphic())
}
