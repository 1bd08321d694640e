//! Parts that pages are made of. A part knows values, never where they come from.

pub mod page;

pub mod bars;
pub mod button;
pub mod callout;
pub mod chart;
pub mod form;
pub mod guide;
pub mod icon;
pub mod keys;
pub mod lanes;
pub mod latency;
pub mod lifespan;
pub mod oauth;
pub mod requests;
pub mod rhythm;
pub mod status;
pub mod still;
pub mod time;
pub mod timeline;
pub mod tolerated;
pub mod track;
pub mod trend;
