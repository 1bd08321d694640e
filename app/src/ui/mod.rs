//! Parts that pages are made of. A part knows values, never where they come from.

pub mod page;

pub mod button;
pub mod callout;
pub mod chart;
pub mod form;
pub mod icon;
pub mod keys;
pub mod lanes;
pub mod lifespan;
pub mod oauth;
pub mod requests;
pub mod status;
pub mod still;
pub mod time;
pub mod timeline;
pub mod tolerated;
pub mod track;
