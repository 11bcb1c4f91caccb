//! The annotations `autoscaling.knative.dev/*`: their names, their other spellings, what each may be.
//!
//! A value is checked by itself here, and against the other annotations in [`contradictions`](Sheet::contradictions).
//! What they amount to together with `config-autoscaler` is said in `resolve`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::Config;
use super::refusal::Contradiction;
use super::sheet::{self, Sheet};
use super::{Class, TargetBurstCapacity, text};

/// What every annotation of autoscaling begins with.
pub const PREFIX: &str = "autoscaling.knative.dev/";

macro_rules! keys {
    ($($key:ident = $name:literal $(or $alias:literal)?, allowed $allowed:expr;)*) => {
        /// An annotation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Annotation { $(#[doc = concat!("`", $name, "`")] $key,)* }

        impl Annotation {
            /// All of them. The class comes first: what the metric may be depends on it.
            pub const ALL: &[Self] = &[$(Self::$key,)*];

            /// Its full name, with the prefix.
            pub fn name(self) -> &'static str {
                match self { $(Self::$key => concat!("autoscaling.knative.dev/", $name),)* }
            }

            /// Its other spelling, with the prefix; read only where the first is absent.
            pub fn alias(self) -> Option<&'static str> {
                match self { $(Self::$key => [$(concat!("autoscaling.knative.dev/", $alias))?].first().copied(),)* }
            }

            /// What it may be, for a person.
            pub fn allowed(self) -> &'static str {
                match self { $(Self::$key => $allowed,)* }
            }
        }
    };
}

keys! {
    Class = "class", allowed "kpa.autoscaling.knative.dev, hpa.autoscaling.knative.dev, or a class not under knative.dev";
    Metric = "metric", allowed "concurrency or rps";
    Aggregation = "metric-aggregation-algorithm" or "metricAggregationAlgorithm", allowed "linear or weighted-exponential";
    Target = "target", allowed "a number, at least 0.01";
    Utilization = "target-utilization-percentage" or "targetUtilizationPercentage", allowed "1 to 100";
    BurstCapacity = "target-burst-capacity" or "targetBurstCapacity", allowed sheet::BURST_ALLOWED;
    Window = "window", allowed sheet::WINDOW_ALLOWED;
    PanicWindow = "panic-window-percentage" or "panicWindowPercentage", allowed "1 to 100";
    PanicThreshold = "panic-threshold-percentage" or "panicThresholdPercentage", allowed "110 to 1000";
    ScaleDownDelay = "scale-down-delay" or "scaleDownDelay", allowed "0s to 1h in whole seconds";
    Retention = "scale-to-zero-pod-retention-period" or "scaleToZeroPodRetentionPeriod", allowed "0s to 1h";
    MinScale = "min-scale" or "minScale", allowed sheet::COUNT_ALLOWED;
    MaxScale = "max-scale" or "maxScale", allowed sheet::COUNT_ALLOWED;
    InitialScale = "initial-scale" or "initialScale", allowed sheet::COUNT_ALLOWED;
    ActivationScale = "activation-scale", allowed "a whole number from 2 to 2147483647";
}

/// The annotations of one revision, read and checked. `None`: not annotated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// Who scales it.
    pub class: Option<Class>,
    /// What is measured; `concurrency` or `rps` where Knative's own autoscaler is to scale.
    pub metric: Option<String>,
    /// How seconds are averaged; any text where the class is somebody else's.
    pub aggregation: Option<String>,
    /// Metric per replica before the utilisation, at least 0.01.
    pub target: Option<f64>,
    /// In percent, 1 to 100.
    pub utilization: Option<f64>,
    /// Room for bursts.
    pub burst: Option<TargetBurstCapacity>,
    /// The stable window, whole seconds, 6 s to 1 h.
    pub window: Option<Duration>,
    /// The panic window in percent of the stable one, 1 to 100.
    pub panic_window: Option<f64>,
    /// In percent, 110 to 1000.
    pub panic_threshold: Option<f64>,
    /// Whole seconds, at most 1 h.
    pub scale_down_delay: Option<Duration>,
    /// At most 1 h.
    pub retention: Option<Duration>,
    /// The least.
    pub min: Option<u32>,
    /// The most; 0 for no limit, whatever is configured.
    pub max: Option<u32>,
    /// What a new revision starts with.
    pub initial: Option<u32>,
    /// From zero at least so many; 2 or more.
    pub activation: Option<u32>,
}

/// What the checks of annotations need to know beside them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    /// Knative accepts some texts that then do nothing: an unknown algorithm while the class is left to its default, an
    /// initial scale beyond 32 bits. Whether to refuse these too, which changes no policy and tells the person.
    pub(super) refuse_what_does_nothing: bool,
}

impl Sheet for Annotations {
    type Key = Annotation;
    type Surroundings<'a> = Surroundings<'a>;

    fn keys() -> &'static [Annotation] {
        Annotation::ALL
    }

    fn find(key: Annotation, values: &BTreeMap<String, String>) -> Option<(&'static str, &str)> {
        let look_up = |name: &'static str| values.get(name).map(|value| (name, value.as_str()));
        look_up(key.name()).or_else(|| key.alias().and_then(look_up))
    }

    fn set(&mut self, key: Annotation, text: &str, around: &Surroundings<'_>) -> Result<(), String> {
        let Surroundings { config, refuse_what_does_nothing } = *around;
        let or_bounds = || key.allowed().to_owned();
        match key {
            Annotation::Class => self.class = Some(class(text).ok_or_else(or_bounds)?),
            Annotation::Metric => match self.class.as_ref().unwrap_or(&config.class) {
                Class::Kpa if !matches!(text, "concurrency" | "rps") => return Err(or_bounds()),
                Class::Hpa if text.is_empty() => return Err("any text but none".to_owned()),
                Class::Kpa | Class::Hpa | Class::Other(_) => self.metric = Some(text.to_owned()),
            },
            Annotation::Aggregation => {
                let checked = match &self.class {
                    Some(class) => *class == Class::Kpa,
                    None => refuse_what_does_nothing,
                };
                let is_known = matches!(text, "" | "linear" | "weighted-exponential" | "weightedExponential");
                if checked && !is_known {
                    return Err(or_bounds());
                }
                let canonical = if text == "weightedExponential" { "weighted-exponential" } else { text };
                self.aggregation = Some(canonical.to_owned());
            }
            Annotation::Target => self.target = Some(sheet::at_least(0.01, text).ok_or_else(or_bounds)?),
            Annotation::Utilization => self.utilization = Some(sheet::within(1.0, 100.0, text).ok_or_else(or_bounds)?),
            Annotation::BurstCapacity => self.burst = Some(sheet::burst(text).ok_or_else(or_bounds)?),
            Annotation::Window => self.window = Some(sheet::window(text).ok_or_else(or_bounds)?),
            Annotation::PanicWindow => self.panic_window = Some(sheet::within(1.0, 100.0, text).ok_or_else(or_bounds)?),
            Annotation::PanicThreshold => {
                self.panic_threshold = Some(sheet::within(110.0, 1_000.0, text).ok_or_else(or_bounds)?);
            }
            Annotation::ScaleDownDelay => {
                let delay = sheet::up_to_an_hour(text).filter(|delay| sheet::is_whole_seconds(*delay));
                self.scale_down_delay = Some(delay.ok_or_else(or_bounds)?);
            }
            Annotation::Retention => self.retention = Some(sheet::up_to_an_hour(text).ok_or_else(or_bounds)?),
            Annotation::MinScale => self.min = Some(sheet::count(text).ok_or_else(or_bounds)?),
            Annotation::MaxScale => self.max = Some(max_scale(text, config.max_scale_limit)?),
            Annotation::InitialScale => {
                self.initial = initial_scale(text, config.allow_zero_initial_scale)?;
                if refuse_what_does_nothing && self.initial.is_none() {
                    return Err(or_bounds());
                }
            }
            Annotation::ActivationScale => {
                let activation = sheet::count(text).filter(|count| 2 <= *count);
                self.activation = Some(activation.ok_or_else(or_bounds)?);
            }
        }
        Ok(())
    }

    /// Annotations are held against one another only, never against a configured default: with a default in play the
    /// minimum wins where the two disagree.
    fn contradictions(&self) -> Vec<Contradiction<Annotation>> {
        use Annotation::{ActivationScale, MaxScale, MinScale};
        let max = self.max.filter(|max| *max != 0);
        let pairs = [
            (MinScale, self.min, MaxScale, max),
            (MinScale, self.min, ActivationScale, self.activation),
            (ActivationScale, self.activation, MaxScale, max),
        ];
        let mut found = Vec::new();
        for (lower_key, lower, upper_key, upper) in pairs {
            if let (Some(lower), Some(upper)) = (lower, upper)
                && upper < lower
            {
                let or_zero = if upper_key == MaxScale { ", or 0 for no limit" } else { "" };
                found.push(Contradiction {
                    between: [
                        (lower_key, format!("at most {}, which is {upper}", upper_key.name())),
                        (upper_key, format!("at least {}, which is {lower}{or_zero}", lower_key.name())),
                    ],
                });
            }
        }
        found
    }

    fn unknown(key: &str) -> Option<&'static str> {
        let names = || Annotation::ALL.iter().flat_map(|known| [Some(known.name()), known.alias()]).flatten();
        let is_unknown = key.starts_with(PREFIX) && !names().any(|name| name == key);
        is_unknown.then(|| super::refusal::nearest(key, names()))
    }
}

/// A class under `knative.dev` must be one of the two known; any other text is somebody else's class.
fn class(text: &str) -> Option<Class> {
    let class = Class::from_text(text);
    match class {
        Class::Other(_) if text.ends_with(".knative.dev") => None,
        Class::Other(_) | Class::Kpa | Class::Hpa => Some(class),
    }
}

fn max_scale(text: &str, limit: u32) -> Result<u32, String> {
    match sheet::count(text) {
        Some(max) if limit == 0 || (1..=limit).contains(&max) => Ok(max),
        _ if limit == 0 => Err(sheet::COUNT_ALLOWED.to_owned()),
        _ => Err(format!("a whole number from 1 to {limit}, the max-scale-limit of config-autoscaler")),
    }
}

/// `None` for a number beyond 32 bits, which Knative accepts and then passes over.
fn initial_scale(text: &str, zero_is_allowed: bool) -> Result<Option<u32>, String> {
    match text::int64(text) {
        Some(0) if !zero_is_allowed => {
            Err("a whole number from 1 to 2147483647; 0 needs allow-zero-initial-scale in config-autoscaler".to_owned())
        }
        Some(initial) if 0 <= initial => Ok(i32::try_from(initial).ok().map(i32::unsigned_abs)),
        _ => Err(sheet::COUNT_ALLOWED.to_owned()),
    }
}
