//! The body of a purge, and what it takes. Unknown fields are ignored.

use oust::Selector;
use serde_json::Value;

use super::pattern;

/// What kind of targets a purge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PurgeType {
    All,
    Directory,
    Pattern,
    Url,
}

impl PurgeType {
    const NAMES: [(&'static str, Self); 4] =
        [("ALL", Self::All), ("DIRECTORY", Self::Directory), ("PATTERN", Self::Pattern), ("URL", Self::Url)];

    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// A purge as it was asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) edge_id: u64,
    pub(super) kind: PurgeType,
    /// As sent; none for [`PurgeType::All`], else at least one.
    pub(super) targets: Vec<String>,
}

impl Request {
    /// # Errors
    ///
    /// Names the field that is wrong.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
        let fields = body.as_object().ok_or("the body is no JSON object")?;
        let edge_id = fields.get("edgeId").and_then(Value::as_u64).ok_or("edgeId is required, a number (Long)")?;
        let name = fields.get("purgeType").and_then(Value::as_str).unwrap_or_default();
        let kind = PurgeType::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        let kind = kind.ok_or("purgeType is required: ALL, DIRECTORY, PATTERN or URL")?;
        let targets = match (kind, fields.get("purgeTarget").filter(|target| !target.is_null())) {
            (PurgeType::All, None) => Vec::new(),
            (PurgeType::All, Some(_)) => return Err("purgeTarget is to be omitted with purgeType ALL".to_owned()),
            (_, Some(Value::Array(targets))) if !targets.is_empty() => targets
                .iter()
                .map(|target| target.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or("purgeTarget is an array of strings")?,
            _ => return Err(format!("purgeTarget is required with purgeType {name}: an array of one string or more")),
        };
        Ok(Self { edge_id, kind, targets })
    }

    /// What it takes of these hosts, names or `*.h`: for each host each target in turn, one selector each.
    ///
    /// # Errors
    ///
    /// Names the target that is not what the type demands.
    pub(super) fn selectors(&self, hosts: &[String]) -> Result<Vec<Selector>, String> {
        let read = match self.kind {
            PurgeType::All => return Ok(hosts.iter().cloned().map(Selector::Host).collect()),
            PurgeType::Directory => pattern::directory,
            PurgeType::Pattern => pattern::extension,
            PurgeType::Url => pattern::url,
        };
        let mut selectors = Vec::with_capacity(hosts.len().saturating_mul(self.targets.len()));
        for host in hosts {
            for (index, target) in self.targets.iter().enumerate() {
                selectors.extend(read(target, host).map_err(|reason| format!("purgeTarget[{index}]: {reason}"))?);
            }
        }
        Ok(selectors)
    }
}
