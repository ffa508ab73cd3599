"""The processes of Sluiceway. They share subjects and contracts, never code paths or memory."""
