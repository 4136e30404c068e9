"""What the compiler knows of scans: building them, their derivative, tidying, lowering."""
