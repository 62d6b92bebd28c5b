//! Who imports whom: the files of a crate's source and what each of them needs of the others, tests aside.
//!
//! A file needs another where it names an item that is defined there: in a `use`, or in a path. A re-export (`pub use`) is
//! no need of the file that re-exports: whoever takes the item from there needs the file in which it is defined.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The path of a module below its crate.
type Name = Vec<String>;

/// What a file says.
#[derive(Default)]
struct Module {
    file: String,
    defined: BTreeSet<String>,
    imported: BTreeMap<String, Name>,
    globs: Vec<Name>,
    /// All paths in it, re-exports left out.
    named: BTreeSet<Name>,
    /// What it takes from elsewhere, whole: `use …::*`.
    wholes: Vec<Name>,
}

/// What each file needs of the others, by their names below the source.
type Needs = BTreeMap<String, BTreeSet<String>>;

/// The groups of files that need each other in a circle, below a crate's source. A module and its own parts may (`x.rs` and
/// what is in `x/`); the parts among themselves may not.
pub(crate) fn circles(source: &Path) -> Vec<BTreeSet<String>> {
    opened(&needs(&modules(source)))
}

/// The circles, those of modules with their own parts opened.
fn opened(needs: &Needs) -> Vec<BTreeSet<String>> {
    let mut found = Vec::new();
    for circle in closed(needs) {
        let is_module_of = |file: &String, part: &String| part.starts_with(&file.replace(".rs", "/"));
        let is_module =
            |file: &&String| circle.iter().all(|other| other == *file || is_module_of(file, other));
        let Some(module) = circle.iter().find(is_module) else {
            found.push(circle);
            continue;
        };
        let parts: BTreeSet<String> = circle.iter().filter(|part| *part != module).cloned().collect();
        let among = |part: &String| (part.clone(), needs[part].intersection(&parts).cloned().collect());
        found.extend(opened(&parts.iter().map(among).collect()));
    }
    found
}

/// All circles.
fn closed(needs: &Needs) -> BTreeSet<BTreeSet<String>> {
    let reaching = |file: &String| {
        let there = reached(needs, file).into_iter();
        there.filter(|other| reached(needs, other).contains(file)).collect::<BTreeSet<_>>()
    };
    needs.keys().map(reaching).filter(|circle| circle.len() > 1).collect()
}

fn reached(needs: &Needs, from: &str) -> BTreeSet<String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for other in &needs[file] {
            if reached.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    reached
}

fn needs(modules: &BTreeMap<Name, Module>) -> Needs {
    let of = |(name, module): (&Name, &Module)| {
        let paths = module.named.iter().filter_map(|path| definition(modules, name, path, 0));
        let wholes = module.wholes.iter().filter_map(|path| whole(modules, name, path));
        let files = paths.chain(wholes).filter(|file| *file != module.file);
        (module.file.clone(), files.collect())
    };
    modules.iter().map(of).collect()
}

/// The module that a path begins in, and what of the path is left from there; none for other crates.
fn start<'a>(
    modules: &BTreeMap<Name, Module>,
    at: &Name,
    path: &'a [String],
) -> Option<(Name, &'a [String])> {
    let (first, rest) = path.split_first()?;
    let mut rest = rest;
    let mut module = match first.as_str() {
        "crate" => Name::new(),
        "self" => at.clone(),
        "super" => parent(at)?,
        word => {
            let child = [at.as_slice(), &[word.to_owned()]].concat();
            let imported = || modules[at].imported.get(word).filter(|path| path.first() != Some(first));
            if modules.contains_key(&child) {
                child
            } else {
                let (module, left) = start(modules, at, imported()?)?;
                // An import of an item is seen where it is imported.
                return left.is_empty().then(|| descend(modules, module, rest));
            }
        }
    };
    while let Some((word, left)) = rest.split_first().filter(|(word, _)| *word == "super") {
        let _ = word;
        module = parent(&module)?;
        rest = left;
    }
    Some(descend(modules, module, rest))
}

fn descend<'a>(
    modules: &BTreeMap<Name, Module>,
    mut module: Name,
    mut rest: &'a [String],
) -> (Name, &'a [String]) {
    while let Some((word, left)) = rest.split_first() {
        let child = [module.as_slice(), std::slice::from_ref(word)].concat();
        if !modules.contains_key(&child) {
            break;
        }
        (module, rest) = (child, left);
    }
    (module, rest)
}

fn parent(module: &Name) -> Option<Name> {
    module.split_last().map(|(_, parent)| parent.to_vec())
}

/// The file in which what a path names is defined; none for modules themselves and for other crates.
fn definition(modules: &BTreeMap<Name, Module>, at: &Name, path: &Name, depth: usize) -> Option<String> {
    assert!(depth < 20, "{path:?} in {at:?} leads in a circle");
    let (found, rest) = start(modules, at, path)?;
    let item = rest.first()?;
    let module = &modules[&found];
    if module.defined.contains(item) {
        return Some(module.file.clone());
    }
    if let Some(path) = module.imported.get(item) {
        // It may be another crate's.
        return definition(modules, &found, path, depth + 1);
    }
    let through = module.globs.iter().find_map(|glob| {
        let (inner, left) = start(modules, &found, glob)?;
        (left.is_empty() && modules[&inner].defined.contains(item)).then(|| modules[&inner].file.clone())
    });
    Some(through.unwrap_or_else(|| module.file.clone()))
}

fn whole(modules: &BTreeMap<Name, Module>, at: &Name, path: &Name) -> Option<String> {
    let (found, rest) = start(modules, at, path)?;
    // Behind the module stands an enum whose variants are taken.
    if rest.is_empty() { Some(modules[&found].file.clone()) } else { definition(modules, at, path, 0) }
}

fn modules(source: &Path) -> BTreeMap<Name, Module> {
    let mut found = BTreeMap::new();
    for file in super::files(source) {
        let below = file.strip_prefix(source).unwrap().to_owned();
        if below == Path::new("main.rs") || is_test(&below) {
            continue;
        }
        let mut name: Name =
            below.with_extension("").iter().map(|word| word.to_str().unwrap().to_owned()).collect();
        if name == ["lib"] {
            name.clear();
        }
        let tokens: TokenStream = fs::read_to_string(&file).unwrap().parse().unwrap();
        let mut module = Module { file: below.to_str().unwrap().to_owned(), ..Module::default() };
        module.read(tokens, true);
        found.insert(name, module);
    }
    found
}

fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests")
}

impl Module {
    fn read(&mut self, tokens: TokenStream, top: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if let Some(attribute) = attribute(&tokens, at) {
                at += 2;
                if attribute == "cfg (test)" {
                    at = behind_item(&tokens, at);
                }
                continue;
            }
            match &tokens[at] {
                // What an opaque type captures is no import.
                TokenTree::Ident(word) if *word == "use" && is_sign(&tokens[at + 1], '<') => at += 1,
                TokenTree::Ident(word) if *word == "use" => at = self.import(&tokens, at),
                TokenTree::Ident(word) => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1)
                        && top
                        && DEFINES.contains(&word.to_string().as_str())
                    {
                        self.defined.insert(name.to_string());
                    }
                    if let Some(TokenTree::Group(body)) = tokens.get(at + 2)
                        && top
                        && *word == "mod"
                    {
                        // Its paths would begin at another place than those of the file.
                        let text = body.to_string();
                        let leads_out = ["use ", "super ::", "self ::", "crate ::"]
                            .iter()
                            .any(|word| text.contains(word));
                        assert!(!leads_out, "{}: a module in it that imports", self.file);
                    }
                    let (path, next) = path(&tokens, at);
                    if path.len() > 1 {
                        self.named.insert(path);
                    }
                    at = next;
                }
                TokenTree::Group(group) => {
                    self.read(group.stream(), false);
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// Reads a `use`, and tells where it ends.
    fn import(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let is_public = |at: usize| matches!(&tokens[at], TokenTree::Ident(word) if *word == "pub");
        let scoped = at >= 2 && matches!(tokens[at - 1], TokenTree::Group(_)) && is_public(at - 2);
        let public = scoped || (at >= 1 && is_public(at - 1));
        let end = at + tokens[at..].iter().position(|token| is_sign(token, ';')).unwrap();
        self.tree(&tokens[at + 1..end], &[], public);
        end + 1
    }

    fn tree(&mut self, tokens: &[TokenTree], before: &[String], public: bool) {
        let mut path = before.to_vec();
        let mut alias = None;
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(word) if *word == "as" => {
                    alias = tokens.get(at + 1).map(ToString::to_string);
                    at += 1;
                }
                TokenTree::Ident(word) if *word == "self" && !path.is_empty() => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    inner.split(|token| is_sign(token, ',')).for_each(|part| self.tree(part, &path, public));
                    return;
                }
                token if is_sign(token, '*') => {
                    self.globs.push(path.clone());
                    if !public {
                        self.wholes.push(path);
                    }
                    return;
                }
                _ => {}
            }
            at += 1;
        }
        let Some(last) = path.last().cloned() else { return };
        self.imported.insert(alias.unwrap_or(last), path.clone());
        if !public {
            self.named.insert(path);
        }
    }
}

/// The words before the name of an item.
const DEFINES: [&str; 8] = ["struct", "enum", "union", "fn", "trait", "type", "const", "static"];

/// What stands in an attribute that begins here.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<String> {
    match (&tokens[at], tokens.get(at + 1)) {
        (sign, Some(TokenTree::Group(group)))
            if is_sign(sign, '#') && group.delimiter() == Delimiter::Bracket =>
        {
            Some(group.stream().to_string())
        }
        _ => None,
    }
}

/// Where an item ends that begins here, with its attributes.
fn behind_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while at < tokens.len() && attribute(tokens, at).is_some() {
        at += 2;
    }
    let ends = |token: &TokenTree| {
        is_sign(token, ';')
            || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    at + tokens[at..].iter().position(ends).map_or(tokens.len() - at, |end| end + 1)
}

/// The path that begins with this word, and where it ends.
fn path(tokens: &[TokenTree], mut at: usize) -> (Name, usize) {
    let mut path = vec![tokens[at].to_string()];
    at += 1;
    while let [one, two, TokenTree::Ident(word), ..] = &tokens[at..] {
        if !(is_sign(one, ':') && is_sign(two, ':')) {
            break;
        }
        path.push(word.to_string());
        at += 3;
    }
    (path, at)
}

fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

#[test]
fn circles_are_found_whatever_leads_through_them() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        (
            "lib.rs",
            "mod a; mod b; pub mod c; pub mod d; mod e; pub use self::b::B; pub use crate::d::part::Part;",
        ),
        // By a re-export, in a macro, and not in its tests.
        (
            "a.rs",
            "use crate::B; pub fn a() { println!(\"{}\", crate::c::inner::made()) } #[cfg(test)] mod tests { use crate::e::E; }",
        ),
        ("b.rs", "use std::fmt::{self, Debug}; pub struct B; // use crate::a::a;"),
        ("c.rs", "pub mod inner; use super::d;\n fn f() -> d::Whole { d::make() }"),
        ("c/inner.rs", "pub fn made() -> u8 { super::super::a::a(); 1 }"),
        ("d.rs", "pub mod part; pub struct Whole(part::Part); pub fn make() {}"),
        ("d/part.rs", "use super::Whole; pub struct Part; mod x;"),
        ("e.rs", "pub use crate::c::inner::*; use crate::a::*; pub struct E;"),
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let found = circles(folder.path());
    assert_eq!(found, [["a.rs", "c/inner.rs"].map(str::to_owned).into()], "d.rs and its own part may");
    let needs = needs(&modules(folder.path()));
    let of = |file: &str| needs[file].iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    assert_eq!(
        ["lib.rs", "a.rs", "b.rs", "c.rs", "e.rs"].map(of),
        ["", "b.rs c/inner.rs", "", "d.rs", "a.rs"]
    );
}
