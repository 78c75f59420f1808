# For `packer init`. In a file of its own, since versions before 1.7, which bring the plugin with them, do not read it.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.0.0"
    }
  }
}
