"""What a training tells its user: findings in plain words, pictures, and one page that holds them."""
