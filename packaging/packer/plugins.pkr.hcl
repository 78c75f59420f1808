# For `packer init`. Versions before 1.7 include the plugin and cannot parse this block, so it has a file of its own.
packer {
  required_plugins {
    amazon = {
      source = "github.com/hashicorp/amazon"
      # imds_support needs 1.2.0 or newer.
      version = ">= 1.2.0"
    }
  }
}
