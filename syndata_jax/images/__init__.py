"""What images show by themselves: whom they resemble, and how good they are."""
