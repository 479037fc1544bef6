//! The pattern language: a target, a path without host, to what it takes of one host or of those below one (`*.h`).
//!
//! A wildcard is only where the type of the purge has it. `\*` is read as `*` there: the vendor's own page prints it so. `@@` is no variation here.

use oust::Selector;

use crate::dialect::without_variation;

/// `/d/*`: all below `/d/`, at any depth.
pub(crate) fn directory(target: &str, host: &str) -> Result<Vec<Selector>, String> {
    let directory = target.strip_suffix(r"/\*").or_else(|| target.strip_suffix("/*"));
    let directory = directory.ok_or("a DIRECTORY target ends with /*")?;
    plain_directory(directory)?;
    Ok(vec![pattern(host, &format!("{directory}/**"))])
}

/// `/d/*.ext`: all below `/d/` whose path ends with `.ext`, at any depth.
pub(crate) fn extension(target: &str, host: &str) -> Result<Vec<Selector>, String> {
    let (directory, extension) =
        target.rsplit_once(r"/\*.").or_else(|| target.rsplit_once("/*.")).ok_or("a PATTERN target ends with /*.ext")?;
    plain_directory(directory)?;
    if extension.is_empty() || extension.contains(['/', '*', '?', '#']) {
        return Err("a PATTERN target ends with /*.ext, ext being without '/', '*', '?' and '#'".to_owned());
    }
    Ok(vec![pattern(host, &format!("{directory}/**.{extension}"))])
}

/// `/p?q`: exactly that.
pub(crate) fn url(target: &str, host: &str) -> Result<Vec<Selector>, String> {
    if !target.starts_with('/') {
        return Err("a target starts with /".to_owned());
    }
    if target.contains('*') {
        return Err("a URL target has no wildcard (*)".to_owned());
    }
    // A URL names one host: of those below a name it is a pattern without a wildcard in the path.
    Ok(vec![if host.starts_with("*.") {
        pattern(host, target)
    } else {
        Selector::Url(format!("any://{host}{target}"))
    }])
}

fn pattern(host: &str, path: &str) -> Selector {
    Selector::Pattern(format!("any://{host}{}", without_variation(path)))
}

/// Refuses what stands before `/*` unless it is a path.
fn plain_directory(directory: &str) -> Result<(), &'static str> {
    if !directory.is_empty() && !directory.starts_with('/') {
        return Err("a target starts with /");
    }
    if directory.contains('*') {
        return Err("the wildcard (*) of a target is behind its last /");
    }
    if directory.contains(['?', '#']) {
        return Err("a DIRECTORY or PATTERN target is a path, without query");
    }
    Ok(())
}
