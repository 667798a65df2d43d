//! The modules below one file, and which of them uses which.

use crate::paths::{Named, Source, read};
use std::path::{Path, PathBuf};

/// One module names something of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) file: PathBuf,
    /// From 1.
    pub(crate) line: usize,
}

/// What the sources say.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The modules of the root file.
    pub(crate) modules: Vec<String>,
    /// What the root file is called where it uses or is used: `lib`, `main` or `mod`.
    pub(crate) own_name: String,
    /// In the order of the files.
    pub(crate) arrows: Vec<Arrow>,
}

/// A file and the path of its module.
struct File {
    path: PathBuf,
    module: Vec<String>,
    source: Source,
}

impl Tree {
    /// Reads the file `root` and all below it.
    ///
    /// # Errors
    /// A sentence that names the file which cannot be read.
    pub(crate) fn read(
        read_file: &dyn Fn(&Path) -> Option<String>,
        root: &Path,
    ) -> Result<Self, String> {
        let text = read_file(root).ok_or_else(|| format!("{} cannot be read", root.display()))?;
        let module = module_path(root);
        let root = File { path: root.to_owned(), module, source: read(&text) };
        let mut files = Vec::new();
        below(read_file, &root, &mut files)?;
        let modules = root.source.modules.clone();
        let own_name = root.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut tree = Self { modules, own_name, arrows: Vec::new() };
        for named in &root.source.paths {
            // A re-export is no use: it says where others find a name.
            if !named.re_exported
                && let Some(to) = tree.target(&root, &root, named)
            {
                tree.add(&root, tree.own_name.clone(), to, named.line);
            }
        }
        for file in &files {
            let from = &file.module[root.module.len()];
            for named in &file.source.paths {
                if let Some(to) = tree.target(&root, file, named) {
                    tree.add(file, from.clone(), to, named.line);
                }
            }
        }
        Ok(tree)
    }

    fn add(&mut self, file: &File, from: String, to: String, line: usize) {
        let arrow = Arrow { from, to, file: file.path.clone(), line };
        if arrow.from != arrow.to && self.arrows.last() != Some(&arrow) {
            self.arrows.push(arrow);
        }
    }

    /// The module of the root that a path leads to, or the root itself; none if it leads out of it.
    fn target(&self, root: &File, file: &File, named: &Named) -> Option<String> {
        let around = file.module.iter().chain(&named.inside).cloned();
        let path = absolute(around.collect(), &named.segments)
            .or_else(|| self.child_of_root(root, file, named))?;
        let [first, ..] = path.strip_prefix(root.module.as_slice())? else { return None };
        if self.modules.contains(first) {
            return Some(first.clone());
        }
        // In a folder that is no root, `crate::x` of another part has not this prefix; so what
        // is no module here is an item of the root file, if only by a re-export.
        let brought = root.source.paths.iter().find(|other| {
            other.inside.is_empty() && other.brings.as_ref() == Some(first) && *other != named
        });
        match brought {
            Some(other) => self.target(root, root, other),
            None => Some(self.own_name.clone()),
        }
    }

    /// In the root file a path may begin with the name of a module.
    fn child_of_root(&self, root: &File, file: &File, named: &Named) -> Option<Vec<String>> {
        let in_root = std::ptr::eq(root, file) && named.inside.is_empty();
        let begins = in_root && self.modules.contains(&named.segments[0]);
        begins.then(|| root.module.iter().chain(&named.segments).cloned().collect())
    }
}

/// Where a path leads from inside the module `around`; none if it does not say so.
fn absolute(mut around: Vec<String>, segments: &[String]) -> Option<Vec<String>> {
    let mut rest = segments;
    match segments.first()?.as_str() {
        "crate" => {
            around.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {}
        _ => return None,
    }
    while rest.first().is_some_and(|segment| segment == "super") {
        around.pop()?;
        rest = &rest[1..];
    }
    around.extend_from_slice(rest);
    Some(around)
}

/// `crate::engine` of `src/engine/mod.rs`, without the `crate`.
fn module_path(file: &Path) -> Vec<String> {
    let folders = file.parent().into_iter().flat_map(Path::components).skip(1);
    let mut path: Vec<_> =
        folders.map(|folder| folder.as_os_str().to_string_lossy().into_owned()).collect();
    if !is_folder(file) {
        path.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    path
}

/// Whether the modules of this file lie beside it.
fn is_folder(file: &Path) -> bool {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    stem.is_some_and(|stem| matches!(stem, "lib" | "main" | "mod"))
}

fn below(
    read_file: &dyn Fn(&Path) -> Option<String>,
    parent: &File,
    files: &mut Vec<File>,
) -> Result<(), String> {
    let beside = parent.path.with_file_name("");
    let folder = if is_folder(&parent.path) { beside } else { parent.path.with_extension("") };
    for name in &parent.source.modules {
        let places = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
        let found = places.iter().find_map(|path| Some((path.clone(), read_file(path)?)));
        let Some((path, text)) = found else {
            let [file, in_folder] = places.map(|path| path.display().to_string());
            return Err(format!(
                "{} declares {name}, and neither {file} nor {in_folder} can be read",
                parent.path.display()
            ));
        };
        let module = parent.module.iter().chain([name]).cloned().collect();
        let file = File { path, module, source: read(&text) };
        below(read_file, &file, files)?;
        files.push(file);
    }
    Ok(())
}
