//! The body of a purge, and what it takes. Unknown fields are ignored.

use oust::Selector;

use super::pattern;
use crate::body::{MAX_TEXTS, Member, members};

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
        let [edge_id, name, targets] = members(body, ["edgeId", "purgeType", "purgeTarget"])?;
        let Member::Number(edge_id) = edge_id else { return Err("edgeId is required, a number (Long)".to_owned()) };
        let name = name.text().unwrap_or_default();
        let kind = PurgeType::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        let kind = kind.ok_or("purgeType is required: ALL, DIRECTORY, PATTERN or URL")?;
        let targets = match (kind, targets) {
            (PurgeType::All, Member::Absent) => Vec::new(),
            (PurgeType::All, _) => return Err("purgeTarget is to be omitted with purgeType ALL".to_owned()),
            (_, Member::List(targets)) if targets.len > MAX_TEXTS => {
                return Err(format!("purgeTarget has {} targets, the most is {MAX_TEXTS}", targets.len));
            }
            (_, Member::List(targets)) if targets.len > 0 => {
                targets.texts(MAX_TEXTS).ok_or("purgeTarget is an array of strings")?
            }
            _ => return Err(format!("purgeTarget is required with purgeType {name}: an array of one string or more")),
        };
        Ok(Self { edge_id, kind, targets })
    }

    /// What it takes of these hosts, names or `*.h`: for each host each target in turn, one selector each.
    ///
    /// # Errors
    ///
    /// Names the target that is not what the type demands, or the limit all of them pass.
    pub(super) fn selectors(&self, hosts: &[String]) -> Result<Vec<Selector>, String> {
        let read = match self.kind {
            PurgeType::All => return Ok(hosts.iter().cloned().map(Selector::Host).collect()),
            PurgeType::Directory => pattern::directory,
            PurgeType::Pattern => pattern::extension,
            PurgeType::Url => pattern::url,
        };
        let count = hosts.len().saturating_mul(self.targets.len());
        if count > MAX_TEXTS {
            let (targets, hosts) = (self.targets.len(), hosts.len());
            return Err(format!("purgeTarget: {targets} targets of {hosts} hosts, the most is {MAX_TEXTS} together"));
        }
        let mut selectors = Vec::with_capacity(count);
        for host in hosts {
            for (index, target) in self.targets.iter().enumerate() {
                selectors.extend(read(target, host).map_err(|reason| format!("purgeTarget[{index}]: {reason}"))?);
            }
        }
        Ok(selectors)
    }
}
