//! Checks who imports whom against the table in `arrows.txt`, so that the drawing of the layers stays true.

use super::{
    rules::Finding,
    source::{Source, block_end, identifier, words},
};
use std::collections::BTreeMap;

/// The layers, read from the table.
pub struct Arrows {
    modules: BTreeMap<String, Module>,
}

struct Module {
    layer: u8,
    also: Vec<String>,
}

impl Arrows {
    /// Reads the table; a table that contradicts itself is refused with the reason.
    pub fn parse(table: &str) -> Result<Self, String> {
        let mut modules = BTreeMap::new();
        for (number, line) in table.lines().enumerate() {
            let mut fields = line.split('#').next().unwrap_or("").split_whitespace();
            let Some(name) = fields.next() else { continue };
            let layer = fields.next().and_then(|layer| layer.parse().ok());
            let layer =
                layer.ok_or(format!("line {}: `{name}` needs the number of its layer", number + 1))?;
            let module = Module { layer, also: fields.map(str::to_owned).collect() };
            if modules.insert(name.to_owned(), module).is_some() {
                return Err(format!("line {}: `{name}` stands here a second time", number + 1));
            }
        }
        let arrows = Self { modules };
        arrows.modules.keys().try_for_each(|name| arrows.check_row(name))?;
        Ok(arrows)
    }

    /// What `source` imports against the arrows.
    pub fn check(&self, source: &Source) -> Vec<Finding> {
        let from = source.module();
        if !self.modules.contains_key(from) {
            let what = format!("`{from}` has no layer: give it a line in tests/tidy/arrows.txt");
            return vec![Finding::at(source, 0, what)];
        }
        let mentions = mentions(source).into_iter().filter_map(|(offset, to)| {
            let what = self.refusal(from, &to)?;
            Some(Finding::at(source, offset, what))
        });
        mentions.chain(supers(source)).collect()
    }

    fn refusal(&self, from: &str, to: &str) -> Option<String> {
        let (own, other) = (self.modules.get(from)?, self.modules.get(to));
        match other {
            _ if from == to => None,
            None => Some(format!(
                "`crate::{to}` is no module of tests/tidy/arrows.txt: name the module it lives in"
            )),
            Some(other) if other.layer < own.layer || own.also.iter().any(|also| also == to) => None,
            Some(other) if other.layer == own.layer => Some(format!(
                "`{from}` and `{to}` share layer {}: pass what is needed in from a layer above",
                own.layer
            )),
            Some(other) => Some(format!(
                "`{from}` (layer {}) may not know `{to}` (layer {}): move what is shared down, or pass it in",
                own.layer, other.layer
            )),
        }
    }

    /// An exception names a module of the same layer, and none leads back to where it started.
    fn check_row(&self, name: &str) -> Result<(), String> {
        let mut reached = Vec::new();
        let mut next = vec![name];
        while let Some(at) = next.pop() {
            let Some(module) = self.modules.get(at) else {
                continue;
            };
            for also in &module.also {
                let layer = self.modules.get(also).map(|module| module.layer);
                if layer != Some(module.layer) {
                    return Err(format!("`{at}` names `{also}`, which is no module of its layer"));
                }
                if also == name {
                    return Err(format!("`{name}` imports itself by way of `{at}`"));
                }
                if !reached.contains(&also) {
                    reached.push(also);
                    next.push(also);
                }
            }
        }
        Ok(())
    }
}

/// The modules that a file names from the root of the crate, with where it does.
fn mentions(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    // The binary is a crate of its own and names the library.
    let root = if source.path == "src/main.rs" { "foreland" } else { "crate" };
    let mut found = Vec::new();
    for at in words(code, root) {
        let behind = at + root.len();
        if !code[behind..].starts_with("::") {
            continue;
        }
        let path = behind + 2;
        let starts = if code[path..].starts_with('{') { list(code, path) } else { vec![path] };
        for start in starts {
            let name = identifier(code, start);
            if name != "self" {
                let name = if name.is_empty() { &code[start..code.len().min(start + 1)] } else { name };
                found.push((at, name.to_owned()));
            }
        }
    }
    found
}

/// Where the entries of the braces that open at `open` begin.
fn list(code: &str, open: usize) -> Vec<usize> {
    let (mut starts, mut depth, mut fresh) = (Vec::new(), 0_usize, false);
    for (offset, byte) in code.bytes().enumerate().take(block_end(code, open)).skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && (byte == b',' || offset == open) {
            fresh = true;
        } else if fresh && depth == 1 && byte.is_ascii_graphic() {
            starts.push(offset);
            fresh = false;
        }
    }
    starts
}

/// Paths by `super` that leave the module or cannot be followed without counting.
fn supers(source: &Source) -> impl Iterator<Item = Finding> {
    let code = &source.code;
    let leaves = |at: &usize| {
        let climbs_twice = code[*at..].starts_with("super::super");
        climbs_twice
            || (source.is_module_root() && code[*at..].starts_with("super::") && !in_inline_module(code, *at))
    };
    let what = "a path by `super` leaves the module: write it from `crate::`, where the arrows are checked";
    let found: Vec<usize> = words(code, "super").into_iter().filter(leaves).collect();
    found.into_iter().map(move |at| Finding::at(source, at, what))
}

fn in_inline_module(code: &str, at: usize) -> bool {
    words(code, "mod").into_iter().take_while(|start| *start < at).any(|start| {
        let name = identifier(code, start + 4);
        let open = start + 4 + name.len() + 1;
        code[open..].starts_with('{') && block_end(code, open) > at
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "edge 4\nplan 3\nstate 3\ncache 2\nfleet 2 cache\nhttp 1\n";

    fn refused(path: &str, text: &str) -> Vec<String> {
        let arrows = Arrows::parse(TABLE).unwrap();
        arrows.check(&Source::parse(path, text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_table_allows_passes() {
        assert_eq!(refused("src/edge/mod.rs", "use crate::{plan::Plan, cache::{self, Key}, http};"), [""; 0]);
        assert_eq!(refused("src/fleet/mod.rs", "use crate::cache::Key;\nuse crate::fleet::Bus;"), [""; 0]);
        assert_eq!(refused("src/cache/mod.rs", "//! crate::edge\nlet x = \"crate::edge\";"), [""; 0]);
        assert_eq!(refused("src/cache/key.rs", "use super::Object;"), [""; 0]);
        assert_eq!(refused("src/plan.rs", "mod tests {\n    use super::*;\n}"), [""; 0]);
    }

    #[test]
    fn an_arrow_up_is_refused() {
        let found = refused("src/cache/mod.rs", "\nuse crate::edge::Ctx;");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/cache/mod.rs:2: `cache` (layer 2) may not know `edge` (layer 4)"));
    }

    #[test]
    fn an_arrow_sideways_is_refused_in_paths_braces_and_tests() {
        for text in [
            "use crate::fleet::Bus;",
            "use crate::{http, fleet::{self, Bus}};",
            "use crate::{\n    cache::{Key, Tag},\n    fleet,\n};",
            "fn a() -> crate::fleet::Bus {}",
            "#[cfg(test)]\nmod tests {\n    use crate::fleet::Bus;\n}",
        ] {
            assert_eq!(refused("src/cache/key.rs", text).len(), 1, "{text}");
        }
        assert_eq!(refused("src/state.rs", "use crate::plan::Plan;").len(), 1);
    }

    #[test]
    fn an_unknown_module_is_refused_on_either_end() {
        assert_eq!(refused("src/misc.rs", "").len(), 1);
        assert_eq!(refused("src/edge/mod.rs", "use crate::misc::X;").len(), 1);
        assert_eq!(refused("src/edge/mod.rs", "use crate::*;").len(), 1);
    }

    #[test]
    fn a_path_by_super_does_not_slip_past() {
        assert_eq!(refused("src/cache/key.rs", "use super::super::edge;").len(), 1);
        assert_eq!(refused("src/plan.rs", "use super::edge;").len(), 1);
        assert_eq!(refused("src/cache/mod.rs", "use super::edge;").len(), 1);
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        for table in
            ["edge\n", "edge 4\nedge 3\n", "edge 4 plan\nplan 3\n", "a 1 b\nb 1 c\nc 1 a\n", "a 1 b\n"]
        {
            assert!(Arrows::parse(table).is_err(), "{table}");
        }
    }
}
