"""What people write besides a manifest: specs, requirements.txt, environment.yml; text in, frozen values out."""
